"""Errors of calls that go to another process by way of Ray: our own come through as they were raised there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import OverloadError, TailorbirdError, UnavailableError


@contextmanager
def own_errors(callee: str) -> Iterator[None]:
    """Around a call of `callee` (`a session shard`): what Ray itself says becomes an error of ours.

    Raises:
        TailorbirdError: the callee raised it.
        OverloadError: too many calls to it are pending.
        UnavailableError: it failed in a way that nobody foresaw, is dead, or cannot be reached.
    """
    try:
        yield
    except TailorbirdError as error:
        # Ray's own is one of the cause's class too, with a traceback as its text
        raise getattr(error, "cause", error) from None
    except Exception as error:
        from ray.exceptions import PendingCallsLimitExceeded, RayError, RayTaskError

        if isinstance(error, RayTaskError):
            cause = error.cause
            if isinstance(cause, TailorbirdError):
                raise cause from None
            raise UnavailableError(f"{callee} failed: {cause!r}") from None
        if isinstance(error, PendingCallsLimitExceeded) or type(error).__name__ == "BackPressureError":
            raise OverloadError(f"too many calls to {callee} are pending") from None
        if isinstance(error, RayError) or _is_of_serve(error):
            raise UnavailableError(f"{callee} does not answer: {type(error).__name__}") from error
        raise


def _is_of_serve(error: Exception) -> bool:
    """Whether Serve's router says it. Where a call went through a handle Serve is loaded, elsewhere it need not be."""
    return any(kind.__name__ == "RayServeException" for kind in type(error).__mro__)
