"""Bodies and answers of writing: content, chat in OpenAI's form, and the models behind them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.schemas import Answer, Body, Id, SessionItem
from generation.prompts import KINDS
from generation.templates import LANGUAGES

CONTENT_KINDS = tuple(kind for kind in KINDS if kind != "chat")
TONES = ("friendly", "playful", "serious", "formal", "enthusiastic")


class ContentRequest(Body):
    """Ask for a text about an item (or several), for a person."""

    kind: Literal[CONTENT_KINDS]  # type: ignore[valid-type]
    """What sort of text."""
    user_id: Id | None = None
    """Whom it is for. Unknown ones are written for too."""
    session: list[SessionItem] | None = Field(default=None, min_length=1, max_length=1000)
    """What an anonymous person did, oldest first; added to what is known of `user_id` when both are given."""
    item_id: Id | None = None
    """What it is about. Give this or `item_ids`."""
    item_ids: list[Id] | None = Field(default=None, min_length=1, max_length=20)
    """What a `summary` is about, when that is several items: it names the first five."""
    tone: Literal[TONES] = TONES[0]  # type: ignore[valid-type]
    """How it shall sound."""
    language: Literal[LANGUAGES] = LANGUAGES[0]  # type: ignore[valid-type]
    """In which language. What the model does not write well enough (`generation.languages`) is the template's."""
    max_tokens: int = Field(default=512, ge=8, le=1024)
    """Longest text, in the model's tokens, titles and a subject line included; each kind has a limit of its own in
    characters, which comes first unless less is asked for."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """How freely words are chosen. A text with a temperature of its own is never taken from the cache."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """The same seed, model and facts give the same text. Such a text is never taken from the cache."""
    stream: bool = False
    """Whether clauses are sent as they are checked, as server-sent events."""
    timeout_ms: int | None = Field(default=None, ge=1, le=120_000)
    """Deadline; when it comes a template ends the text. Default: `ingress.timeout_s` of the settings."""

    @model_validator(mode="after")
    def _has_items(self) -> ContentRequest:
        if (self.item_id is None) == (self.item_ids is None):
            raise ValueError("give either item_id or item_ids")
        if self.kind != "summary" and len(set(self.item_ids or ())) > 1:
            raise ValueError(f"a {self.kind} is about one item; only a summary is about several")
        return self


class TextPart(Answer):
    """A part of a text."""

    type: Literal["text", "subject", "body"]
    """What it is: an email has a `subject` and a `body`, all else one `text`."""
    text: str
    """Its text."""


class GuardResult(Answer):
    """What the check of the text against the facts said."""

    passed: bool
    """Whether the model's own words stand; false when a template took over."""
    rules: list[str]
    """The rules that clauses failed on the way."""


class Usage(Answer):
    """Tokens, as OpenAI counts them."""

    prompt_tokens: int
    """Tokens that were read."""
    completion_tokens: int
    """Tokens that were written."""
    total_tokens: int
    """Both."""


class ContentResponse(Answer):
    """A text, and what it rests on."""

    content_id: str
    """Names this text: in feedback."""
    kind: str
    """What sort of text."""
    item_id: str
    """What it is about."""
    item_ids: list[str] | None = None
    """What it is about, when that is several items."""
    text: str
    """The text."""
    source: Literal["generated", "cached", "template"]
    """Written by the model now, written before for somebody with a like in common, or by hand."""
    model: str
    """The language model, or `template`."""
    model_version: str
    """The version that the person's list would come from."""
    prompt_version: str
    """The prompt's version: changed prompts make new texts."""
    parts: list[TextPart]
    """The text in parts."""
    facts: dict[str, Any]
    """All that the writer knew: nothing else may be in the text."""
    guard: GuardResult
    """What the check against the facts said."""
    finish_reason: Literal["stop", "length"]
    """`length` where `max_tokens` cut the text off."""
    usage: Usage
    """Tokens; none when the text was cached or a template."""


class ChatMessage(Body):
    """One turn of a dialogue."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """Who speaks."""
    content: str | list[dict[str, Any]] | None = None
    """What is said: a string, or OpenAI's list of text parts."""
    name: str | None = None
    """Accepted and ignored."""


class StreamOptions(Answer):
    """OpenAI's stream options."""

    include_usage: bool = False
    """Whether a last chunk carries the tokens."""


class ChatRequest(BaseModel):
    """OpenAI's chat completion request. Fields of theirs that mean nothing here are accepted and ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)

    model: str = Field(default="tailorbird", max_length=256)
    """Accepted for OpenAI's clients; one model answers."""
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    """The dialogue so far, oldest first. The newest message of the user decides what is looked for."""
    user: Id | None = None
    """The person whose session counts."""
    stream: bool = False
    """Whether the answer comes in OpenAI's chunks."""
    stream_options: StreamOptions | None = None
    """What else a stream carries."""
    max_tokens: int | None = Field(default=None, ge=1, le=1024)
    """Longest answer, in tokens, titles included. Default: 384, and 1152 in Chinese."""
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1024)
    """The same under OpenAI's newer name."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """How freely words are chosen."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """The same seed gives the same answer, all else alike."""
    n: int = Field(default=1, ge=1, le=4)
    """How many answers; one when streaming."""
    stop: str | list[str] | None = None
    """Up to 4 strings of 1 to 256 characters that end the answer."""


class AnswerMessage(Answer):
    """What was said."""

    role: Literal["assistant"]
    """Who speaks."""
    content: str
    """The text."""
    refusal: None
    """For OpenAI's clients."""


class Choice(Answer):
    """One answer."""

    index: int
    """Which of the `n` answers."""
    message: AnswerMessage
    """The answer."""
    finish_reason: str
    """`stop`, or `length` when it became too long."""
    logprobs: None
    """For OpenAI's clients."""


class ChatText(Answer):
    """What one answer rests on, as `POST /v1/content` says it."""

    source: Literal["generated", "cached", "template"]
    """How the text was made."""
    model: str
    """The language model, or `template`."""
    prompt_version: str
    """The prompt's version."""
    facts: dict[str, Any]
    """All that the writer knew: nothing else may be in the text."""
    guard: GuardResult
    """What the check against the facts said."""


class ChatExtra(Answer):
    """What Tailorbird says beside OpenAI's fields."""

    items: list[dict[str, Any]]
    """The items that the answer is about, as places of a list: `item_id`, `score`, `source`, `reasons`."""
    item_ids: list[str]
    """Their ids."""
    model_version: str
    """The version that ranked them."""
    source: Literal["generated", "cached", "template"]
    """How the text was made: of several answers, the last one."""
    texts: list[ChatText]
    """What each answer rests on, in the order of `choices`."""


class ChatResponse(Answer):
    """OpenAI's chat completion, with the items in `tailorbird`."""

    id: str
    """Names the answer."""
    object: Literal["chat.completion"]
    """What this is."""
    created: int
    """When, in seconds since 1970."""
    model: str
    """`tailorbird`."""
    choices: list[Choice]
    """The answers."""
    usage: Usage
    """Tokens of all answers."""
    tailorbird: ChatExtra
    """The items, and how the text was made."""


class ModelOut(Answer):
    """A model in OpenAI's form, with what it runs on (left out while no writer is up)."""

    id: str
    """`tailorbird`."""
    object: Literal["model"]
    """What this is."""
    created: int
    """For OpenAI's clients."""
    owned_by: str
    """For OpenAI's clients."""
    engine: str
    """The text engine, or `starting` while no writer is up."""
    detail: str | None = None
    """Why no writer is up."""
    model: str | None = None
    """The language model."""
    quantization: str | None = None
    """How its weights are stored."""
    weight_bytes: int | None = None
    """Memory of its weights."""
    device: str | None = None
    """Where it runs."""
    context_tokens: int | None = None
    """Most tokens of a prompt and its text."""
    model_version: str
    """The version that lists come from."""
    store: str
    """The database's kind."""


class ModelList(Answer):
    """The models, in OpenAI's form."""

    object: Literal["list"]
    """What this is."""
    data: list[ModelOut]
    """The models: one."""
    tailorbird: dict[str, Any]
    """What the model runs on."""
