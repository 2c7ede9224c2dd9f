"""Free memory given back to the system: a long-lived process shows what it holds, not the most that it ever held.

glibc keeps what was freed in the arena of the thread that asked for it, so the resident size of a process with many
threads creeps up for hours beside a constant amount in use. `malloc_trim` gives whole free pages back.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from functools import cache

EVERY_S = 30.0


def trim() -> bool:
    """Give free pages of the C heap back; takes milliseconds, without the interpreter's lock. False where it cannot."""
    function = _malloc_trim()
    return function is not None and bool(function(0))


async def trim_for_ever(every_s: float = EVERY_S) -> None:
    """Do so every few seconds, in a thread."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(trim)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
    return function
