"""Lists from the deployment `Recommender`: whatever becomes of a call, it is an error of ours, and soon."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from cluster.errors import DeadlineError, InputError, NotFoundError, OverloadError, TailorbirdError, UnavailableError
from cluster.messages import RankedList, RankQuery, SessionView
from deployments import recommender
from deployments.recommender import HandleRanking, RecommenderClient


def of_task(cause: Exception) -> Exception:
    """As Ray raises what a replica raised."""
    error: Exception = RayTaskError("similar", "Traceback ...", pickle.loads(pickle.dumps(cause))).as_instanceof_cause()
    return error


class Handle:
    """A Serve handle whose calls answer one thing after the other: an error is raised, None hangs."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def __getattr__(self, _: str) -> Any:
        return SimpleNamespace(remote=self._call)

    async def _call(self, *_: Any) -> Any:
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (of_task(NotFoundError("item 'x' is not in the catalogue")), NotFoundError, "item 'x' is not in the catalogue"),
        (of_task(InputError("is wrong", "n")), InputError, "n: is wrong"),
        (of_task(OverloadError("full", 7.0)), OverloadError, "full"),
        (of_task(KeyError("x")), UnavailableError, "a recommender failed: KeyError('x')"),
        (of_task(TimeoutError("x")), UnavailableError, "a recommender failed: TimeoutError('x')"),
        (ActorDiedError(), UnavailableError, "a recommender does not answer: ActorDiedError"),
        (BackPressureError(8, 4), OverloadError, "too many calls to a recommender are pending"),
        (
            DeploymentUnavailableError(SimpleNamespace(app_name="app", name="Recommender")),  # type: ignore[arg-type]
            UnavailableError,
            "a recommender does not answer: DeploymentUnavailableError",
        ),
    ],
)
async def test_what_ray_says_becomes_an_error_of_ours(raised: Exception, kind: type, said: str) -> None:
    ranking = HandleRanking(Handle(raised, raised, raised, raised), 1.0)
    for call in (
        ranking.similar("default", "x", 3),
        ranking.item_map("default", 3),
        ranking.rank([]),
        ranking.live_version("default"),
    ):
        with pytest.raises(TailorbirdError) as caught:
            await call
        assert type(caught.value) is kind and str(caught.value) == said


async def test_a_fault_of_our_own_stays_one() -> None:
    with pytest.raises(AttributeError):
        await HandleRanking(Handle(AttributeError("remote")), 1.0).similar("default", "x", 3)


async def test_a_replica_that_hangs_does_not_stop_the_lists_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommender, "_RANK_S", 0.1)
    made = RankedList((), "v1")
    client = RecommenderClient(HandleRanking(Handle(None, [made]), 30.0), max_batch=4, max_queue=4)
    query = RankQuery(SessionView(None), 3)
    with pytest.raises(DeadlineError, match=r"within 0\.1 s"):
        await client.rank(query, 5.0)
    assert await client.rank(query, 5.0) == made


async def test_other_calls_have_the_time_of_the_settings() -> None:
    with pytest.raises(DeadlineError, match=r"within 0\.05 s"):
        await HandleRanking(Handle(None), 0.05).similar("default", "x", 3)
