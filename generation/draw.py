"""Choices that depend on a task alone: the same task is written the same way, another one another way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

from cluster.messages import WriteTask

T = TypeVar("T")


def choice(task: WriteTask, salt: str, n: int) -> int:
    """A number below n that depends on the task alone: kind, items, what the person liked, seed."""
    key = "\0".join(
        (salt, task.kind, str(task.seed), *(i.item_id for i in task.items), "", *(i.item_id for i in task.liked))
    )
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % n


class Draw:
    """Draws for one sentence of one attempt at a task."""

    def __init__(self, task: WriteTask, sentence: int, attempt: int) -> None:
        self._task = task
        self._salt = f"{sentence}/{attempt}"
        self.tone, self.language = task.tone, task.language

    def some(self, name: str, values: Sequence[T], n: int) -> list[T]:
        """Up to n of the values, in any order."""
        return random.Random(choice(self._task, f"{name}/{self._salt}", 1 << 60)).sample(values, min(n, len(values)))

    def one(self, name: str, values: Sequence[T]) -> T:
        """One of the values."""
        return values[choice(self._task, f"{name}/{self._salt}", len(values))]
