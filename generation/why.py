"""Why an item was chosen, as far as a text of kind `reason` may say it: what the ranker's reasons name and no more."""

from __future__ import annotations

from dataclasses import replace

from cluster.messages import WriteTask

CARRIERS = frozenset(("because_liked", "similar_text"))
"""Reasons that name an item of the person's own."""
MET = "met"
"""Something of the person's own carried the score, which was met and not liked."""
TOLD = frozenset(("popular", "fresh", "explore", "people_like_you", "because_named"))


def by_reasons(task: WriteTask) -> WriteTask:
    """A `reason` with no other likes than those that carried the item's score, those that carried most first."""
    if task.kind != "reason":
        return task
    carried = [reason.item_id for reason in task.reasons if reason.kind in CARRIERS and reason.weight > 0]
    liked = sorted(
        (item for item in task.liked if item.item_id in carried), key=lambda item: carried.index(item.item_id)
    )
    return replace(task, liked=tuple(liked))


def told_reason(task: WriteTask) -> str:
    """What a `reason` that names no like says: the strongest reason that can be told, or nothing."""
    if task.kind != "reason":
        return ""
    for reason in sorted(task.reasons, key=lambda reason: -reason.weight):
        if reason.weight > 0 and reason.kind in TOLD | CARRIERS:
            return MET if reason.kind in CARRIERS else reason.kind
    return ""
