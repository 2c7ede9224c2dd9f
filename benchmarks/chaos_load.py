"""Constant open-loop load that checks what comes back: four lists to one event, due at fixed times whatever happens.

Every answer's status and body are checked, counted by code and kept with the time at which it was due, so that what a
failure did can be told afterwards. A request that finds no idle connection opens one: nothing waits in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.load import Connection, request_bytes
from cluster.haproxy import DETAIL

EVENT_SHARE = 5
"""One request of so many is an event."""
LIST_LENGTH = 10
LIST_DEADLINE_S = 3.0
"""Sent along as `timeout_ms`."""
GIVE_UP_S = 5.0
"""A request that is not answered so long after its deadline is given up, and counted as `no answer`."""
WINDOW_S = 10.0
PRIORITY = -10
IDLE_S = 20.0
"""A connection that nobody has used for so long is not used again: the server may be about to close it."""
GOOD = frozenset({"event 202", "list 200", "list 200 degraded"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was due (monotonic seconds), how long after that it was answered, and with what.

    `served_s` counts from when it was sent, which on a crowded machine may be later: what the server had.
    """

    due_s: float
    took_s: float
    code: str
    deadline_s: float
    served_s: float

    @property
    def is_good(self) -> bool:
        """Whether status and body were as they should be; a list without the session counts as good."""
        return self.code in GOOD


class Load:
    """The load; a context manager around what is done to the server meanwhile. Runs in a thread of its own.

    Args:
        port: of the server, on this machine.
        key: the API key.
        per_second: requests that are due in a second.
        event_deadline_s: how long the server may take to store an event.
    """

    def __init__(self, port: int, key: str, per_second: float, event_deadline_s: float, users: int = 300) -> None:
        self.answers: list[Answer] = []
        self.acknowledged: list[str] = []
        self.lists: list[tuple[float, str]] = []
        """When a list was answered (as `due_s` counts), and its id."""
        self.per_second = per_second
        self.lag_s = 0.0
        """How late this process itself was at worst in sending: a crowded machine, not the server."""
        self._port, self._key = port, key
        self._event_deadline_s = event_deadline_s
        self._users = [f"load-{number}" for number in range(users)] + [str(number) for number in range(1, 900)]
        self._idle: list[tuple[float, Connection]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        with contextlib.suppress(PermissionError):  # clients have machines of their own; only root may say so here
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        tasks: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            while (due := start + number / self.per_second) <= (now := loop.time()):
                self.lag_s = max(self.lag_s, now - due)
                task = asyncio.create_task(self._one(due, number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.sleep(max(0.0005, due - loop.time()))
        await asyncio.gather(*tasks)
        for _, connection in self._idle:
            connection.close()

    async def _one(self, due: float, number: int) -> None:
        user = random.choice(self._users)
        if is_event := number % EVENT_SHARE == 0:
            event_id = uuid.uuid4().hex
            body: dict[str, Any] = {
                "event_id": event_id,
                "user_id": user,
                "item_id": str(random.randint(1, 1600)),
                "type": "click",
            }
            path, deadline_s = "/v1/events", self._event_deadline_s
        else:
            body = {"user_id": user, "n": LIST_LENGTH, "timeout_ms": LIST_DEADLINE_S * 1000}
            path, deadline_s = "/v1/recommendations", LIST_DEADLINE_S
        kind = "event" if is_event else "list"
        loop = asyncio.get_running_loop()
        sent = loop.time()
        connection = self._connection(sent)
        try:
            async with asyncio.timeout(deadline_s + GIVE_UP_S):
                if connection.transport is None:
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
                status, answer = await connection.send(request_bytes("POST", path, orjson.dumps(body), self._key))
            said = check_event(status, answer) if is_event else check_list(status, answer)
            if is_event and status == 202 and not said:
                self.acknowledged.append(event_id)
            if not is_event and f"list {status}{said}" in GOOD:
                self.lists.append((loop.time(), _parsed(answer)["recommendation_id"]))
            code = f"{kind} {status}{said}"
            self._idle.append((loop.time(), connection))
        except TimeoutError:
            connection.close()
            code = f"{kind} no answer"
        except OSError as error:
            connection.close()
            code = f"{kind} {type(error).__name__}"
        ended = loop.time()
        self.answers.append(Answer(due, ended - due, code, deadline_s, ended - sent))

    def _connection(self, now: float) -> Connection:
        """The one that was used last, or a new one; those that nobody has used for long are closed."""
        if self._idle and now - self._idle[-1][0] < IDLE_S:
            return self._idle.pop()[1]
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()
        return Connection()


def check_event(status: int, body: bytes) -> str:
    """What is remarkable about the answer to one event; nothing when it is as it should be."""
    if status != 202:
        return _problem(status, body)
    answer = _parsed(body)
    if answer.get("rejected") == [] and answer.get("accepted", 0) + answer.get("duplicate", 0) == 1:
        return ""
    return " broken"


def check_list(status: int, body: bytes) -> str:
    """The same for a list: ten different items, of one version, with scores in order."""
    if status != 200:
        return _problem(status, body)
    answer = _parsed(body)
    ids = {entry["item_id"] for entry in answer.get("items", [])}
    if len(ids) != LIST_LENGTH or not answer.get("model_version") or not answer.get("recommendation_id"):
        return " broken"
    return " degraded" if answer["degraded"] else ""


def _problem(status: int, body: bytes) -> str:
    """An error of the application is a problem document of its own; anything else comes from the proxy."""
    answer = _parsed(body)
    return "" if answer.get("status") == status and answer.get("detail") != DETAIL else " from the proxy"


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def summary(answers: list[Answer], struck_s: float | None) -> dict[str, Any]:
    """What a failure at `struck_s` did.

    `window_failed_share`: of the requests due in the ten seconds from then, those that failed. `heal_s`: until the last
    request that failed was due; `whole_s`: until the last that failed or was degraded. `late`: answers that came after
    their deadline, from when they were sent, by more than 0.25 s, which the way there and back may take.
    """
    codes = Counter(answer.code for answer in answers)
    found: dict[str, Any] = {
        "requests": len(answers),
        "failed": sum(count for code, count in codes.items() if code not in GOOD),
        "codes": dict(sorted(codes.items())),
        "late": sum(answer.served_s > answer.deadline_s + 0.25 for answer in answers),
    }
    for kind in ("event", "list"):
        took = [(answer.took_s, answer.deadline_s) for answer in answers if answer.code.startswith(kind)]
        if took:
            slowest, deadline = max(took)
            served = max(answer.served_s for answer in answers if answer.code.startswith(kind))
            p99 = float(np.percentile([seconds for seconds, _ in took], 99))
            found[kind] = {
                "slowest_s": round(slowest, 2),
                "slowest_served_s": round(served, 2),
                "deadline_s": deadline,
                "p99_ms": round(p99 * 1000, 1),
                "p50_ms": round(float(np.median([seconds for seconds, _ in took])) * 1000, 1),
            }
    if struck_s is not None:
        window = [answer for answer in answers if struck_s <= answer.due_s < struck_s + WINDOW_S]
        later = [answer for answer in answers if answer.due_s >= struck_s - 1]
        failed = sum(not answer.is_good for answer in window)
        found["window"] = {
            "requests": len(window),
            "failed": failed,
            "failed_share": round(failed / max(1, len(window)), 5),
            "degraded": sum("degraded" in answer.code for answer in window),
        }
        found["heal_s"] = _last([answer for answer in later if not answer.is_good], struck_s)
        found["whole_s"] = _last([a for a in later if not a.is_good or "degraded" in a.code], struck_s)
    return found


def _last(answers: list[Answer], struck_s: float) -> float:
    return round(max((answer.due_s - struck_s for answer in answers), default=0.0), 2)


def now_s() -> float:
    """The clock of `Answer.due_s`: asyncio's loop uses the monotonic one."""
    return time.monotonic()
