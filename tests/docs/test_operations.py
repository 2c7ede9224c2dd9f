"""docs/operations.md: its backup is one that can be restored."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from cluster.config import Settings
from cluster.messages import Item
from cluster.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def blocks(section: str) -> list[str]:
    """The shell blocks of a section of the page."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def test_a_backup_can_be_restored(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    (state / "artifacts").mkdir(parents=True)
    (state / "artifacts" / "manifest.json").write_text("{}")
    (state / "api_key").write_text("the-key-of-before")
    backup.mkdir()
    settings = Settings(state_dir=state, api_key=SecretStr("some-test-key"))
    environment = os.environ | {"TAILORBIRD_STATE_DIR": str(state), "BACKUP": str(backup)}

    def run(block: str) -> None:
        script = block.replace(".venv/bin/python", sys.executable)
        done = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    (take,) = blocks("Back up")
    (restore,) = blocks("Restore")
    with Store.open(settings) as store:
        store.migrate()
        store.items.put([Item("kept", "Kept")])
        run(take)  # while the store is open and holds the right to write
        store.items.put([Item("later", "Later")])
    (state / "artifacts" / "manifest.json").unlink()
    (state / "api_key").write_text("another")
    run(restore)
    with Store.open(settings) as store:
        assert list(store.items.get("default", ["kept", "later"])) == ["kept"]
    assert (state / "api_key").read_text() == "the-key-of-before"
    assert (state / "artifacts" / "manifest.json").exists()
