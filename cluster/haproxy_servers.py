"""What HAProxy is told of the replicas beyond what Serve says: those of before, and how many lists each may have.

**Those of before.** While Serve imports an application anew (another version, another runtime environment) its
controller does not know which deployment is in front, and tells HAProxy of no replica. All requests would go through
Serve's own proxy for these seconds, which takes several times as much of the processor for each and which nothing holds
back. So a backend that has lost all its replicas at once keeps those that still take connections; HAProxy's health
checks tell how long.

**Lists.** They are nearly all requests. Where more come than are answered, they would wait in connections of their own
to a replica, which learns of them by reading them all: it would work for clients that are gone, its health checks would
fail, and all would go through Serve's proxy. So lists have a backend of their own, with the same replicas, each of
which gets so many at a time. A burst waits here, where waiting costs nothing; what cannot be waited for is refused at
once.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

CONNECT_S = 0.2
MARK = "    # Servers in this backend\n"
LISTS_SUFFIX = "-lists"
WAITING = 4
"""So many times as many lists as replicas work on may wait for them: at 2,000 a second the last of 1,024 waits for half
a second."""
WAIT_S = 2
"""How long they may. A list whose own deadline is less is refused where it would wait."""
_BACKEND = re.compile(r"^backend (?P<name>\S+)\n(?P<body>(?:[ \t].*\n|\n)*)", re.MULTILINE)
_SERVER = re.compile(r"^ +server (?P<name>\S+) (?P<host>\S+):(?P<port>\d+) (?!.*\bbackup\b).*\n", re.MULTILINE)
_CHECKED = re.compile(r"^( +server (\S+) \S+) check\b.*?( backup)?$", re.MULTILINE)
_REPLICA = re.compile(r"^( +server \S+ \S+ track \S+)$", re.MULTILINE)
_CHECKS = re.compile(r"^ +(?:option httpchk|http-check|default-server) .*\n", re.MULTILINE)


def with_last_servers(text: str, file: Path, owner: int) -> str:
    """The configuration, with the last replicas of backends that have none.

    Args:
        text: the configuration. file: where the replicas are kept.
        owner: the process that starts HAProxy. What another one's HAProxy had is of another run.
    """
    before = _read(file, owner)
    now: dict[str, list[str]] = {}

    def completed(found: re.Match[str]) -> str:
        block, name = found.group(), found["name"]
        servers = [line.group() for line in _SERVER.finditer(block)]
        if not servers and MARK in block:
            servers = [line for line in before.get(name, []) if _answers(line)]
            block = block.replace(MARK, MARK + "".join(servers))
        if servers:
            now[name] = servers
        return block

    completed_text = _BACKEND.sub(completed, text)
    file.write_text(json.dumps({"owner": owner, "servers": now}))
    return completed_text


def with_lists_apart(text: str, condition: str, is_short: str, most: int, refusal: str) -> str:
    """The configuration, with a backend for lists beside that of each application.

    Args:
        text: the configuration. condition: what holds of a request for a list.
        is_short: what holds of one that cannot wait for `WAIT_S`.
        most: lists that one replica works on.
        refusal: what those get that there is no room for, as `http-request` has it.
    """
    for found in list(_BACKEND.finditer(text)):
        block, name, body = found.group(), found["name"], found["body"]
        if MARK not in body:
            continue
        lists, chosen = name + LISTS_SUFFIX, f"    use_backend {name} if "
        room = most * max(1, len(_SERVER.findall(body)))
        rules = [
            f"timeout queue {WAIT_S}s",
            f"{refusal} if {{ be_conn({lists}) gt {room} }} {is_short}",
            f"{refusal} if {{ be_conn({lists}) gt {room * (1 + WAITING)} }}",
        ]
        body = _CHECKS.sub("", body).replace(MARK, "".join(f"    {rule}\n" for rule in rules) + MARK)
        body = _CHECKED.sub(rf"\1 track {name}/\2\3", body)
        body = _REPLICA.sub(rf"\1 maxconn {most}", body)
        text = text.replace(block, f"{block}backend {lists}\n{body}")
        text = text.replace(chosen, f"    use_backend {lists} if is_{name} {condition}\n{chosen}")
    return text


def _read(file: Path, owner: int) -> dict[str, list[str]]:
    try:
        kept = json.loads(file.read_text())
        return dict(kept["servers"]) if kept["owner"] == owner else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _answers(line: str) -> bool:
    found = _SERVER.match(line)
    assert found is not None
    try:
        socket.create_connection((found["host"], int(found["port"])), CONNECT_S).close()
    except OSError:
        return False
    return True
