"""What requests and responses look like: pydantic models, from which the OpenAPI document is made.

Unknown fields are refused, numbers are finite, ids are strings of 1 to 256 characters. Events, items and users are
checked by `cluster.records`, the same code that the jobs use; here they have their shape for the document only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cluster.messages import MAX_ID_CHARS


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(_no_nul)]
EventType = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
Include = Literal["title", "description", "categories", "tags", "attributes", "image_url", "audio_url"]


class Body(BaseModel):
    """The base of every request body."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Answer(BaseModel):
    """The base of what is answered."""

    model_config = ConfigDict(protected_namespaces=(), use_attribute_docstrings=True)


class SessionItem(Body):
    """One event of an anonymous session, oldest first in its list."""

    item_id: Id
    """What it was done with."""
    type: EventType = "click"
    """What was done."""
    value: float | None = None
    """The stars of a `rating`, the seconds of a `dwell`."""


class EventBody(Answer):
    """One event, as `POST /v1/events` takes it."""

    event_id: Id | None = None
    """Names the event: sent again it counts once. Default: made by the server."""
    user_id: Id
    """Who did it."""
    item_id: Id
    """What it was done with. It need not be in the catalogue yet."""
    type: EventType
    """What was done: `view`, `click`, `like`, `dislike`, `rating`, `purchase`, `add_to_cart`, `share`, `play`, `dwell`,
    `impression` or a name of your own. What each says of taste is the setting `events.weights`."""
    value: float | None = None
    """The stars of a `rating`, the seconds of a `dwell`; for anything else kept as it is."""
    timestamp: str | float | None = Field(default=None, description="ISO 8601, or seconds since 1970. Default: now.")
    session_id: Id | None = None
    """Your own name for the visit."""
    recommendation_id: Id | None = None
    """The list in which the item was met: figures of click-through rest on it."""
    context: dict[str, Any] | None = None
    """Whatever else is known, up to 6 levels deep. `content_kind` says that a text of this kind was read."""


class EventBatch(Answer):
    """Up to 1,000 events in one request."""

    events: list[EventBody] = Field(min_length=1, max_length=1000)
    """The events, in any order."""


class RejectedEvent(Answer):
    """Why an event of a batch was not taken."""

    loc: list[str | int]
    """Where: `["events", index, field]`."""
    msg: str
    """What is wrong with it."""
    event_id: str | None = None
    """The event's id, where it had one."""


class EventsResponse(Answer):
    """What became of the events. Accepted and duplicate ones are on disk."""

    accepted: int
    """How many are new."""
    duplicate: int
    """How many were there before, by their `event_id`."""
    rejected: list[RejectedEvent]
    """Those that were not taken, and why."""


class FeedbackRequest(Body):
    """What a person says of a list or a text."""

    user_id: Id | None = None
    """Who says it; by default whose list it is about."""
    recommendation_id: Id | None = None
    """The list that it is about. Give this or `content_id`, or both."""
    content_id: Id | None = None
    """The text that it is about."""
    item_id: Id | None = None
    """The item that it is about, when it is not about all of the list."""
    verdict: Literal["up", "down"] | None = None
    """Good or bad. Give this or `text`, or both."""
    text: Annotated[str, Field(max_length=4000), AfterValidator(_no_nul)] | None = None
    """In their own words."""

    @model_validator(mode="after")
    def _is_about_something(self) -> FeedbackRequest:
        if self.recommendation_id is None and self.content_id is None:
            raise ValueError("give a recommendation_id or a content_id")
        if self.verdict is None and not self.text:
            raise ValueError("give a verdict or a text")
        return self


class FeedbackResponse(Answer):
    """The feedback is on disk."""

    feedback_id: str
    """Names the feedback in exports."""


class ItemBody(Answer):
    """An item of the catalogue."""

    item_id: Id | None = Field(default=None, description="Only in an import; elsewhere the path says it.")
    title: str | None = Field(default=None, max_length=1000)
    """What people call it."""
    description: str | None = Field(default=None, max_length=20_000)
    """Some sentences: for ranking before anybody met the item, and facts that texts may use."""
    categories: list[str] | None = Field(default=None, max_length=100)
    """Kinds, such as genres or departments."""
    tags: list[str] | None = Field(default=None, max_length=100)
    """Freer words."""
    attributes: dict[str, Any] | None = Field(default=None, description="Whatever else is known: year, price, people.")
    vectors: dict[str, list[float]] | None = Field(default=None, max_length=4)
    """What encoders of yours made of it, by name, such as `image` and `audio`: for ranking. Of one length per name, up
    to 2,048 numbers. Pages of items leave them out."""
    image_url: str | None = Field(default=None, max_length=2048)
    """A picture, shown by your own pages."""
    audio_url: str | None = Field(default=None, max_length=2048)
    """A sound, played by your own pages."""
    available_from: str | float | None = Field(default=None, description="ISO 8601, or seconds since 1970.")
    available_until: str | float | None = Field(default=None, description="The first moment at which it is gone.")
    hidden: bool | None = Field(default=None, description="A hidden item is in no list.")
    updated_at: str | float | None = Field(default=None, description="Set by the server.")


class UserBody(Answer):
    """What is known of a person beside their events."""

    user_id: Id | None = Field(default=None, description="Only in an import; elsewhere the path says it.")
    attributes: dict[str, Any] | None = None
    """Whatever is known, up to 6 levels deep. Kept and handed out; lists do not rest on it."""
    updated_at: str | float | None = Field(default=None, description="Set by the server.")


class ItemPage(Answer):
    """A page of items, and where the next one begins."""

    items: list[ItemBody]
    """The items of this page."""
    next_cursor: str | None
    """What to send as `cursor` for the next page; null on the last."""


class UserPage(Answer):
    """A page of users, and where the next one begins. A page may be short, or empty, and still have a next one."""

    users: list[UserBody]
    """The users of this page."""
    next_cursor: str | None
    """What to send as `cursor` for the next page; null on the last."""


class RejectedRecord(Answer):
    """Why a record of an import was not taken."""

    line: int
    """Which one: the line, or the place in the array, from 1."""
    loc: list[str]
    """The field."""
    msg: str
    """What is wrong with it."""
    item_id: str | None = None
    """The item's id, where it had one."""
    user_id: str | None = None
    """The user's id, where it had one."""


class ImportResponse(Answer):
    """What became of the records."""

    accepted: int
    """How many are on disk."""
    rejected: list[RejectedRecord]
    """The first 1,000 of those that were not taken, and why."""
    rejected_total: int
    """How many were not taken."""


class OperationResponse(Answer):
    """Work that goes on after the request."""

    operation_id: str
    """Names the operation."""
    kind: str
    """What is done, such as `erase_user`."""
    status: Literal["running", "done"]
    """Whether it is finished. It goes on through restarts until it is."""
    created_at: str
    """When it was asked for."""
    finished_at: str | None = None
    """When it was done."""
    result: dict[str, Any] = {}
    """What it did: of an erasure the rows that went, by table."""


class Fault(Answer):
    """One fault of a request."""

    loc: list[str | int]
    """Where, such as `["events", 3, "timestamp"]`."""
    msg: str
    """What is wrong there."""


class Problem(Answer):
    """What an error says (RFC 9457)."""

    type: str
    """`about:blank`: the status says which kind of error it is."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What went wrong, for people."""
    instance: str
    """The request's id, which finds it in the log."""
    errors: list[Fault] = []
    """Each fault of the request, where it is at fault."""


class OpenAIFault(Answer):
    """An error in OpenAI's form."""

    message: str
    """What went wrong, for people."""
    type: str
    """Such as `invalid_request_error`, `authentication_error`, `rate_limit_error` or `server_error`."""
    param: str | None
    """The field at fault."""
    code: str | None
    """`invalid_api_key` for a key that opens nothing."""


class OpenAIError(Answer):
    """The envelope of errors on OpenAI's routes."""

    error: OpenAIFault
    """The error."""
