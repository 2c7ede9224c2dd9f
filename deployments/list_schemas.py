"""What requests for lists and their answers look like, and rules of merchandising. See `deployments.schemas`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cluster.rules import MAX_REQUEST_RULES
from deployments.schemas import Answer, Body, Id, Include, SessionItem


class RuleBody(Body):
    """A rule of merchandising: pin, boost, bury or cap."""

    rule_id: Id | None = None
    """Names the rule. For a stored one the path says it; in a request it is the rule's place there by default."""
    kind: Literal["pin", "boost", "bury", "cap"]
    """`pin`: the item stands at the place. `boost`, `bury`: items for which the filter holds are `factor` times as
    likely, or unlikely, as they were. `cap`: at most so many items are shown for which the filter holds, or of each
    value of a field."""
    item_id: Id | None = None
    """pin: the item."""
    position: int | None = None
    """pin: its place, from 1."""
    filter: str | None = None
    """boost, bury, cap: `genre == "Horror" and year < 1990`."""
    factor: float | None = None
    """boost, bury: more than 1."""
    max_items: int | None = None
    """cap: how many at most; 0 shows none."""
    each: str | None = None
    """cap: instead of a filter, a field each value of which is counted: `category`, `tag`, or an attribute."""
    enabled: bool | None = None
    """false: it is kept and does not count. Default: true."""
    starts_at: str | float | None = None
    """From when on it counts: ISO 8601, or seconds since 1970."""
    ends_at: str | float | None = None
    """The first moment at which it counts no longer."""
    note: str | None = None
    """For people."""


class RuleOut(Answer):
    """A stored rule, without the fields that are not set."""

    rule_id: str
    """Its id."""
    kind: Literal["pin", "boost", "bury", "cap"]
    """What it does."""
    item_id: str | None = None
    """pin: the item."""
    position: int | None = None
    """pin: its place, from 1."""
    filter: str | None = None
    """boost, bury, cap: which items it is about."""
    factor: float | None = None
    """boost, bury: how many times as likely, or unlikely."""
    max_items: int | None = None
    """cap: how many at most."""
    each: str | None = None
    """cap: the field each value of which is counted."""
    enabled: bool = True
    """Left out unless it is false."""
    starts_at: str | None = None
    """From when on it counts."""
    ends_at: str | None = None
    """The first moment at which it counts no longer."""
    note: str | None = None
    """For people."""
    updated_at: str
    """When it was stored."""


class RuleList(Answer):
    """Rules, by id."""

    rules: list[RuleOut]
    """All of the tenant."""


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
    diversity: float | None = Field(default=None, ge=0, le=1)
    """0: the best scores; 1: as different from each other as can be. Default: the setting `recommender.diversity`."""
    explore: float | None = Field(default=None, ge=0, le=1)
    """The share of the places that are drawn at random among items of which little is known; each item then says its
    `propensity`. Default: the setting `recommender.explore`."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Makes what is drawn at random the same again, all else alike."""
    rules: list[RuleBody] = Field(default=[], max_length=MAX_REQUEST_RULES)
    """Rules that count for this list alone, beside the stored ones."""
    stored_rules: bool = True
    """Whether the stored rules count (`/v1/admin/rules`)."""
    explain: bool | Literal["path"] = True
    """Whether reasons come with the items; `path`: and a path through the graph, by way of people who are not named."""
    include: list[Include] = Field(default=[], max_length=20)
    """Fields of the item to bring along."""
    recommendation_id: Id | None = None
    """Ask for the next page of that list: what it and the pages before it showed is left out. The person may be left
    out too; everything else (filter, session, ...) is as this request says."""
    timeout_ms: int | None = Field(default=None, ge=1, le=60_000)
    """Deadline; when the session does not come in time the list is made without it and marked `degraded`."""


class ReasonOut(Answer):
    """A part of a score. The weights of an item's reasons add up to its score."""

    kind: str
    """`because_liked`: `item_id` was met, and people who meet it meet this too. `similar_text`: `item_id` was met, and
    what is known of both is alike. `because_named`: it was named in a chat. `people_like_you`: what the other events
    carried together. `popular`, and `fresh` for what nobody met yet: the item itself. `rule`: what the rule `feature`
    added. `explore`: what was added because little is known of the item."""
    weight: float
    """Its share of the score. May be negative."""
    item_id: str | None = None
    """The person's item that it rests on, where there is one."""
    feature: str | None = None
    """The feature that it rests on, or the rule, where there is one."""


class PathNode(Answer):
    """A station of a path through the graph."""

    kind: Literal["you", "item", "people"]
    """`you`: whom the list is for. `people`: others who met the items on both sides."""
    item_id: str | None = None
    """The item, of an item."""
    count: int | None = None
    """How many, of people. Who they are is not told, and fewer than three are no path."""


class TouchedBy(Answer):
    """A rule that had a say."""

    rule_id: str
    """Its id."""
    kind: str
    """`pin`, `boost`, `bury` or `cap`; the last for each item that counts towards it."""


class RecommendedItem(Answer):
    """One place of a list."""

    item_id: str
    """The item."""
    score: float
    """What it is ordered by. Comparable within one list only."""
    source: str
    """The source that carried most of the score: `graph`, `item_item`, `factors`, `session` and `after` (what is met
    together, and what follows), `text` (what is alike), `popular` and its kin; `fresh` for what the version does not
    know, `explore` where the item was drawn, or `latest`."""
    reasons: list[ReasonOut] = Field(default=[])
    """Why it is here, the weightiest first. Empty with `explain: false`."""
    propensity: float = 1.0
    """How likely it was to be in the list, all else alike. Left out where that is certain."""
    rules: list[TouchedBy] = Field(default=[])
    """The rules that touched it. Left out where there are none."""
    path: list[PathNode] | None = None
    """With `explain: "path"`: you, an item of yours, people who met both, this item. Left out where there is none."""
    item: dict[str, Any] | None = None
    """The fields that `include` asked for."""


class RecommendResponse(Answer):
    """A list, best first."""

    recommendation_id: str
    """Names this list: in events, in feedback, and to ask for its next page."""
    model_version: str
    """The version that ranked it; `none` before the first one."""
    degraded: bool
    """Whether it was made without the person's session, because that did not come in time."""
    items: list[RecommendedItem]
    """The places. Fewer than `n` when no more are allowed."""
