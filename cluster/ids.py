"""Ids that we make: of requests, lists, events."""

from __future__ import annotations

import os

_AT_ONCE = 256
_ready: list[str] = []


def new_id() -> str:
    """32 hexadecimal digits: 128 bits from the operating system, which is asked in bulk: a call costs microseconds."""
    try:
        return _ready.pop()
    except IndexError:
        digits = os.urandom(16 * _AT_ONCE).hex()
        _ready.extend([digits[at : at + 32] for at in range(0, len(digits), 32)])
        return _ready.pop()


os.register_at_fork(after_in_child=_ready.clear)
