"""Free ports, found by binding.

A second process may share a port silently (SO_REUSEPORT), so a port is free only when an exclusive bind succeeds, on
all interfaces, because parts of Ray listen on all of them.
"""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 20_000, 29_999
"""Below Linux's ephemeral range (from 32768) and above the ports that Ray's workers take (10002 to 19999)."""


def is_free(port: int) -> bool:
    """Whether nobody listens on this TCP port, on any IPv4 interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a killed server linger for a minute; on Linux a port with a listener is refused all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different free ports. They are free now; who uses them should do so soon."""
    chosen: list[int] = []
    for port in random.SystemRandom().sample(range(_FIRST, _LAST), k=_LAST - _FIRST):
        if is_free(port):
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise OSError(f"fewer than {count} free ports between {_FIRST} and {_LAST}")


def free_range(length: int) -> tuple[int, int]:
    """First and last of `length` consecutive free ports."""
    starts = list(range(_FIRST, _LAST - length, length))
    random.SystemRandom().shuffle(starts)
    for start in starts:
        if all(is_free(port) for port in range(start, start + length)):
            return start, start + length - 1
    raise OSError(f"no {length} consecutive free ports between {_FIRST} and {_LAST}")
