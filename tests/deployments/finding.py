"""What tests of finding by meaning share: a handle of something in this process."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class LocalHandle:
    """Asks an object of this process as one asks a Serve deployment. `before` is called ahead of each call."""

    def __init__(self, target: Any, before: Callable[[], Any] = lambda: None) -> None:
        self._target, self._before = target, before
        self.calls = 0

    def __getattr__(self, method: str) -> Any:
        async def remote(*args: Any) -> Any:
            self.calls += 1
            if (waiting := self._before()) is not None:
                await waiting
            return await getattr(self._target, method)(*args)

        return SimpleNamespace(remote=remote)
