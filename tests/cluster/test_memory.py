"""Free memory really goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import threading

import psutil

from cluster.memory import trim, trim_for_ever


def fragment() -> None:
    """Many small blocks in the arena of this thread, most of them freed again: it cannot shrink by itself."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(2_000) for _ in range(50_000)]
    for block in blocks:
        ctypes.memset(block, 1, 2_000)
    for place, block in enumerate(blocks):
        if place % 100:
            libc.free(block)


async def test_what_was_freed_between_blocks_in_use_is_given_back() -> None:
    process = psutil.Process()
    thread = threading.Thread(target=fragment)
    thread.start()
    thread.join()
    before = process.memory_info().rss
    assert trim()
    assert before - process.memory_info().rss > 40 << 20
    task = asyncio.create_task(trim_for_ever(0.01))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
