"""What requests and responses look like: pydantic models, from which the OpenAPI document is made.

Unknown fields are refused, numbers are finite, ids are strings of 1 to 256 characters. Events, items and users are
checked by `cluster.records`, the same code that the jobs use; here they have their shape for the document only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cluster.messages import MAX_ID_CHARS
from generation.prompts import KINDS
from generation.templates import LANGUAGES

CONTENT_KINDS = tuple(kind for kind in KINDS if kind != "chat")
TONES = ("friendly", "playful", "serious", "formal", "enthusiastic")


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


class SessionItem(Body):
    """One event of an anonymous session, oldest first in its list."""

    item_id: Id
    type: EventType = "click"
    value: float | None = None


class RecommendRequest(Body):
    """Ask for a list. Without `user_id` and `session` it is what is popular."""

    user_id: Id | None = None
    """The person. Unknown ones are served too."""
    session: list[SessionItem] | None = Field(default=None, min_length=1, max_length=1000)
    """What an anonymous person did, oldest first; added to what is known of `user_id` when both are given."""
    n: int = Field(default=10, ge=1, le=500)
    """How many items."""
    exclude: list[Id] = Field(default=[], max_length=10_000)
    """Items that may not appear."""
    candidates: list[Id] | None = Field(default=None, min_length=1, max_length=10_000)
    """When given, only these items may appear."""
    filter: str | None = Field(default=None, max_length=2000)
    """When given, only items for which it holds may appear: `genre == "Drama" and year >= 1990`."""
    include_seen: bool = False
    """Whether items that the person has met already may appear."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """0: the best scores; 1: as different from each other as can be."""
    explore: float = Field(default=0.0, ge=0, le=1)
    """How much uncertain items are favoured."""
    explain: bool = True
    """Whether reasons come with the items."""
    include: list[Include] = Field(default=[], max_length=20)
    """Fields of the item to bring along."""
    recommendation_id: Id | None = None
    """Ask for the next page of that list: what it and the pages before it showed is left out. The person may be left
    out too; everything else (filter, session, ...) is as this request says."""
    timeout_ms: int | None = Field(default=None, ge=1, le=60_000)
    """Deadline; when the session does not come in time the list is made without it and marked `degraded`."""


class ReasonOut(BaseModel):
    """A part of a score."""

    kind: str
    weight: float
    item_id: str | None = None
    feature: str | None = None


class RecommendedItem(BaseModel):
    """One place of a list."""

    item_id: str
    score: float
    source: str
    reasons: list[ReasonOut] = []
    item: dict[str, Any] | None = None


class RecommendResponse(BaseModel):
    """A list, best first."""

    model_config = ConfigDict(protected_namespaces=())

    recommendation_id: str
    model_version: str
    degraded: bool
    items: list[RecommendedItem]


class ContentRequest(Body):
    """Ask for a text about an item (or several), for a person."""

    kind: Literal[CONTENT_KINDS]  # type: ignore[valid-type]
    user_id: Id | None = None
    session: list[SessionItem] | None = Field(default=None, min_length=1, max_length=1000)
    item_id: Id | None = None
    item_ids: list[Id] | None = Field(default=None, min_length=1, max_length=20)
    tone: Literal[TONES] = TONES[0]  # type: ignore[valid-type]
    language: Literal[LANGUAGES] = LANGUAGES[0]  # type: ignore[valid-type]
    max_tokens: int = Field(default=96, ge=8, le=512)
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stream: bool = False
    timeout_ms: int | None = Field(default=None, ge=1, le=120_000)

    @model_validator(mode="after")
    def _has_items(self) -> ContentRequest:
        if (self.item_id is None) == (self.item_ids is None):
            raise ValueError("give either item_id or item_ids")
        return self


class ChatMessage(Body):
    """One turn of a dialogue. Content may be a string or OpenAI's list of text parts."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None


class StreamOptions(BaseModel):
    """OpenAI's stream options."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """OpenAI's chat completion request. Fields of theirs that mean nothing here are accepted and ignored.

    `user` is the person whose session counts. `tailorbird` carries our own extras.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = Field(default="tailorbird", max_length=256)
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    user: Id | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1024)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1024)
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    n: int = Field(default=1, ge=1, le=4)
    stop: str | list[str] | None = None


class EventBody(BaseModel):
    """One event, as `POST /v1/events` takes it; for the document, `cluster.records` does the checking."""

    event_id: Id | None = None
    user_id: Id
    item_id: Id
    type: EventType
    value: float | None = None
    timestamp: str | float | None = Field(default=None, description="ISO 8601, or seconds since 1970. Default: now.")
    session_id: Id | None = None
    recommendation_id: Id | None = None
    context: dict[str, Any] | None = None


class EventBatch(BaseModel):
    """Up to 1,000 events in one request."""

    events: list[EventBody] = Field(min_length=1, max_length=1000)


class RejectedEvent(BaseModel):
    """Why an event of a batch was not taken: `loc` is `["events", index, field]`."""

    loc: list[str | int]
    msg: str
    event_id: str | None = None


class EventsResponse(BaseModel):
    """What became of the events. Accepted and duplicate ones are on disk."""

    accepted: int
    duplicate: int
    rejected: list[RejectedEvent]


class FeedbackRequest(Body):
    """What a person says of a list or a text."""

    user_id: Id | None = None
    recommendation_id: Id | None = None
    content_id: Id | None = None
    item_id: Id | None = None
    verdict: Literal["up", "down"] | None = None
    text: Annotated[str, Field(max_length=4000), AfterValidator(_no_nul)] | None = None

    @model_validator(mode="after")
    def _is_about_something(self) -> FeedbackRequest:
        if self.recommendation_id is None and self.content_id is None:
            raise ValueError("give a recommendation_id or a content_id")
        if self.verdict is None and not self.text:
            raise ValueError("give a verdict or a text")
        return self


class FeedbackResponse(BaseModel):
    """The feedback is on disk."""

    feedback_id: str


class ItemBody(BaseModel):
    """An item of the catalogue; for the document, `cluster.records` does the checking."""

    item_id: Id | None = Field(default=None, description="Only in an import; elsewhere the path says it.")
    title: str | None = Field(default=None, max_length=1000)
    description: str | None = Field(default=None, max_length=20_000)
    categories: list[str] | None = Field(default=None, max_length=100)
    tags: list[str] | None = Field(default=None, max_length=100)
    attributes: dict[str, Any] | None = Field(default=None, description="Whatever else is known: year, price, people.")
    image_url: str | None = Field(default=None, max_length=2048)
    audio_url: str | None = Field(default=None, max_length=2048)
    available_from: str | float | None = Field(default=None, description="ISO 8601, or seconds since 1970.")
    available_until: str | float | None = Field(default=None, description="The first moment at which it is gone.")
    hidden: bool | None = Field(default=None, description="A hidden item is in no list.")
    updated_at: str | float | None = Field(default=None, description="Set by the server.")


class UserBody(BaseModel):
    """A user; for the document, `cluster.records` does the checking."""

    user_id: Id | None = Field(default=None, description="Only in an import; elsewhere the path says it.")
    attributes: dict[str, Any] | None = None
    updated_at: str | float | None = Field(default=None, description="Set by the server.")


class ItemPage(BaseModel):
    """A page of items, and where the next one begins."""

    items: list[ItemBody]
    next_cursor: str | None


class UserPage(BaseModel):
    """A page of users, and where the next one begins. A page may be short, or empty, and still have a next one."""

    users: list[UserBody]
    next_cursor: str | None


class RejectedRecord(BaseModel):
    """Why a record of an import was not taken. `line` counts from 1: the line, or the place in the array."""

    line: int
    loc: list[str]
    msg: str
    item_id: str | None = None
    user_id: str | None = None


class ImportResponse(BaseModel):
    """What became of the records. Accepted ones are on disk; `rejected` names the first 1,000 of the bad ones."""

    accepted: int
    rejected: list[RejectedRecord]
    rejected_total: int


class OperationResponse(BaseModel):
    """Work that goes on after the request. `result` of an erasure counts the rows that went, by table."""

    operation_id: str
    kind: str
    status: Literal["running", "done"]
    created_at: str
    finished_at: str | None = None
    result: dict[str, Any] = {}


class Fault(BaseModel):
    """One fault of a request and its place, e.g. `["events", 3, "timestamp"]`."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """What an error says (RFC 9457). `instance` is the request's id, which finds it in the log."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Fault] = []


class OpenAIFault(BaseModel):
    """An error in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """The envelope of errors on OpenAI's routes."""

    error: OpenAIFault
