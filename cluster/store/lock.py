"""The right to write an SQLite file: one process holds it, by flock on a file beside the database.

The kernel gives the lock back when its holder dies in whatever way, so there are no stale locks to clean up. The file's
content, the holder's process id, is only for messages.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from cluster.errors import UnavailableError

POLL_S = 0.05


class WriterLock:
    """Held from construction until `release`.

    Raises:
        UnavailableError: another process holds it, still after `wait_s` seconds.
    """

    def __init__(self, database: Path, wait_s: float = 0.0) -> None:
        self.path = database.with_name(database.name + ".writer")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
                    os.close(self._fd)
                    raise UnavailableError(
                        f"the database {str(database)!r} is being written by process {holder}; SQLite has one writer"
                    ) from None
                time.sleep(POLL_S)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the right to write back. Harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
