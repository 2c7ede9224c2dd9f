"""Progress of training, as stages with a share that is done."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done, 0 to 1, and a few words."""


def silent(stage: str, share: float, note: str) -> None:
    """Report to nobody."""
