"""What a copy leaves in Ray's folder."""

from __future__ import annotations

from pathlib import Path

from cluster.launch import forget_old_sessions


def test_of_earlier_starts_only_the_last_stays(tmp_path: Path) -> None:
    kept = [tmp_path / "h", tmp_path / "session_2026-11-24_12-00-00_3_3"]
    gone = [tmp_path / "session_2026-11-23_09-00-00_1_1", tmp_path / "session_2026-11-24_08-00-00_2_2"]
    for folder in (*kept, *gone):
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "worker.err").write_text("line\n")
    (tmp_path / "session_latest").symlink_to(kept[1])
    for _ in range(2):
        forget_old_sessions(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "session_latest"])
        assert (tmp_path / "session_latest" / "logs" / "worker.err").exists()
