"""Every error that Tailorbird raises on purpose.

All of them can be pickled, so that they cross Ray unharmed: an error is made of positional strings and numbers only.
`deployments.problems` maps them to HTTP; `jobs.common` maps them to exit codes.
"""


class TailorbirdError(Exception):
    """The root: a message for people, safe to show them."""


class ConfigError(TailorbirdError):
    """A setting is unknown, malformed or in conflict with another; the message names it and its value."""


class InputError(TailorbirdError):
    """Input from outside is wrong. `place` says where: a line, a column, a field."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message, place)
        self.message = message
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class NotFoundError(TailorbirdError):
    """The named item, user, version or operation does not exist."""


class ConflictError(TailorbirdError):
    """A compare-and-swap lost: somebody else moved the value first."""


class AuthenticationError(TailorbirdError):
    """Nothing in the request says who asks, or what does is not valid (any more)."""


class ForbiddenError(TailorbirdError):
    """Whoever asks is known, and may not do this."""


class BundleError(TailorbirdError):
    """A version folder is incomplete, altered or of an unknown format."""


class OverloadError(TailorbirdError):
    """A bounded queue is full. `retry_after_s` is when asking again makes sense."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class DeadlineError(TailorbirdError):
    """The time given for the work ran out."""


class UnavailableError(TailorbirdError):
    """A part that is needed cannot be reached now."""


class FullError(UnavailableError):
    """There is no room to store anything; trying again soon is of no use."""


class EngineError(TailorbirdError):
    """A text engine failed, or cannot be made as asked."""
