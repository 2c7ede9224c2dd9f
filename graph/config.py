"""Settings of the ranking half: how events become a model and a model becomes lists.

The section `graph` of the settings file is checked by `GraphConfig`. `config_hash` names one configuration: what is
trained, what is evaluated and what is served carry the same hash in their bundle.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field

METHOD = 6
"""Raised when the same settings come to make another model, so that the two are not taken for one."""


class Group(BaseModel):
    """A group of settings: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EventConfig(Group):
    """How one person's events are read. The weight of each event type stands in the application's section `events`."""

    rating_floor: float = Field(default=0.45, ge=-1.0, le=1.0)
    """What the lowest rating counts relative to the highest. Who rated a thing, however low, is in its audience, so
    the default is positive and small; below zero a low rating repels like an explicit `dislike` does."""
    rating_ceiling: float = Field(default=1.1, gt=0.0)
    """What the highest rating counts."""
    emphasis: float = Field(default=3.0, ge=1.0)
    """How many times more an explicit sign of taste counts: an event of a type that weighs 1 or more, either way, and
    is no rating, as `like`, `purchase` and `dislike` do. Where everybody gives such signs, the weights of the sources,
    learnt with them, make up for it; among ratings or clicks they stand out."""
    max_strength: float = Field(default=1.5, gt=0.0)
    """Several events of a person with one item add up, to this or the strongest of them at most."""


class EncoderConfig(Group):
    """The graph encoder and its training."""

    dim: int = Field(default=64, ge=4, le=1024)
    """Dimensions of an item's source and target vector."""
    layers: int = Field(default=1, ge=0, le=4)
    """Times that item vectors travel item -> user -> item over the graph before they are used."""
    epochs: int = Field(default=200, ge=1)
    """Most passes over the users."""
    patience: int = Field(default=6, ge=1)
    """Validations without a better nDCG after which training stops."""
    validate_every: int = Field(default=10, ge=1)
    """Epochs between validations."""
    batch_users: int = Field(default=1024, ge=1)
    """Users per step."""
    learning_rate: float = Field(default=0.02, gt=0.0)
    """Adam's step size."""
    weight_decay: float = Field(default=2e-4, ge=0.0)
    """Penalty on the squared length of the propagated item vectors: of each item in a pass over all people, or of each
    event where neighbours are sampled."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Share of a user vector's dimensions that are zeroed in training."""
    averaging: float = Field(default=0.95, ge=0.0, lt=1.0)
    """Decay per epoch of the running mean of all parameters, which is what is validated and kept."""
    keep_low: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Least share of a person's events that make the user vector in training; the others are what it must predict."""
    keep_high: float = Field(default=0.9, gt=0.0, lt=1.0)
    """Greatest share of a person's events that make the user vector in training."""
    sampled_above: int = Field(default=10_000_000, ge=0)
    """With more than this to propagate over in an epoch, a step propagates over sampled neighbours only. An epoch
    propagates over all pairs of a person and an item, and all items, once per `batch_users` people."""
    fanouts: tuple[int, int] = (4, 4)
    """People drawn per item, and items per person, where neighbours are sampled."""
    sampled_steps: int = Field(default=800, ge=1)
    """Most steps where neighbours are sampled; `epochs` counts steps there."""
    validate_steps: int = Field(default=200, ge=1)
    """Steps between validations where neighbours are sampled; training stops at the first that is no better."""
    continued: float = Field(default=0.2, gt=0.0, le=1.0)
    """Share of the full training that is run on when it begins with what was learnt before."""
    max_logits: int = Field(default=8192, ge=64)
    """With more items than this the softmax runs over the batch's items and sampled others instead of all items."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of training. On small data one is fastest beside a server: two wait for each other, spinning."""


class ItemItemConfig(Group):
    """The closed-form item-item source."""

    reach: float = Field(default=20.0, gt=0.0)
    """Decay, in places of a person's history, of how much two events say of their items' belonging together."""
    ridge: float = Field(default=150.0, gt=0.0)
    """Regularisation of the linear autoencoder (EASE), in events."""
    ridge_unordered: float = Field(default=300.0, gt=0.0)
    """The same where events have no times, so that all of a person's events count as together."""
    max_dense_items: int = Field(default=6000, ge=1)
    """With more items the inverse is too dear, and neighbours by shrunk cosine are taken."""
    neighbours: int = Field(default=100, ge=1)
    """Neighbours kept per item where the matrix is sparse."""
    shrink: float = Field(default=20.0, ge=0.0)
    """Events added to the denominator of the cosine."""


class FactorsConfig(Group):
    """Matrix factorisation by alternating least squares; people are folded in."""

    dim: int = Field(default=64, ge=2, le=512)
    """Dimensions."""
    alpha: float = Field(default=4.0, ge=0.0)
    """How much more a thing met counts than one not met."""
    ridge: float = Field(default=40.0, gt=0.0)
    """Regularisation, the same for users and items."""
    rounds: int = Field(default=8, ge=1)
    """Alternations."""
    exact_events: int = Field(default=2_000_000, ge=0)
    """With more events than this the least squares are solved by `descents` steps of conjugate gradients. A person or
    an item, each of which is a system to solve, counts as `dim` / 3 events."""
    descents: int = Field(default=3, ge=1)
    """Steps of conjugate gradients per alternation."""
    rounds_approximate: int = Field(default=5, ge=1)
    """Alternations where they are approximate."""


class OrderConfig(Group):
    """The source that reads the order of events: what tends to follow what."""

    reach: float = Field(default=10.0, gt=0.0)
    """Decay, in positions, of how far one event is taken to follow another."""
    from_power: float = Field(default=0.7, ge=0.0, le=1.0)
    """How strongly transitions from items with many events are discounted."""
    to_power: float = Field(default=0.3, ge=0.0, le=1.0)
    """How strongly transitions to items with many events are discounted."""
    before: float = Field(default=0.23, ge=0.0, le=1.0)
    """What an item that came before says, relative to one that came after, of what else a person will meet."""
    before_first: float = Field(default=0.7, ge=0.0, le=1.0)
    """The same for a session of one event, of which nothing else is known."""
    after_shrink: float = Field(default=20.0, ge=0.0)
    """People added to those who met an item, where it is asked what they met afterwards."""
    memories: tuple[float, ...] = (4.0, 15.0)
    """Decays, in positions, with which a session is read: one source each."""
    neighbours: int = Field(default=200, ge=1)
    """Transitions kept per item where the matrix is sparse."""


class ContentConfig(Group):
    """What is known of an item before anybody met it."""

    text_dim: int = Field(default=64, ge=4)
    """Dimensions that text vectors are reduced to for ranking."""
    hashed_dim: int = Field(default=512, ge=32)
    """Buckets that words, categories, tags and attributes are hashed into."""
    ridge: float = Field(default=3.0, gt=0.0)
    """Regularisation of the regression from content to behaviour."""
    max_anchor_items: int = Field(default=4000, ge=2)
    """Items with most events that new items are expressed by."""
    twins: float = Field(default=0.97, gt=0.0, le=1.0)
    """Items whose texts have this cosine or a greater one are nearly the same, as are those of one title and year: one
    list shows one of them. 1: titles alone decide."""
    encoder: str = "auto"
    """Sentence encoder: `auto` (the demo's MiniLM if installed, else none), `none`, or a local folder."""


class CombineConfig(Group):
    """How the sources are weighed against each other, learnt on a held-out part of the training data."""

    random_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of the users whose held-out events are drawn at random; the others' are their last ones. The former teach
    the weights for sessions without times, the latter those for sessions with times. With fewer sessions than
    `max_queries` the data are divided twice instead, once in each way."""
    cold_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the users who are left out whole and met with their first events only."""
    held_out: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of a user's events that are held out."""
    max_queries: int = Field(default=3000, ge=10)
    """Most held-out sessions that the weights are learnt on."""
    candidates: int = Field(default=2000, ge=10)
    """Items per session that the weights are learnt on, where the catalogue is larger."""
    per_source: int = Field(default=30, ge=1)
    """Best items of each source that compete when the weights are learnt."""
    contenders: int = Field(default=100, ge=2)
    """Items per session that the weights are learnt on in the end."""
    steps: int = Field(default=120, ge=1)
    """Optimiser steps of each of the two parts of learning the weights."""


class ServingConfig(Group):
    """How lists are made."""

    exhaustive_items: int = Field(default=20_000, ge=1)
    """Up to this many items all are scored; beyond, candidates are retrieved from the index and the sparse sources."""
    retrieve: int = Field(default=1000, ge=10)
    """Candidates retrieved per source."""
    probe_share: float = Field(default=0.125, gt=0.0, le=1.0)
    """Of the index's lists of similar items, the share that a search reads: more finds more and takes longer."""
    reasons: int = Field(default=3, ge=1, le=20)
    """Events named per item at most; what the others carried is summed up in one more reason."""
    diversity_pool: int = Field(default=100, ge=10)
    """Items that re-ranking chooses from, or five times n where that is more."""


class GraphConfig(Group):
    """All of it."""

    seed: int = 7
    """Seed of everything random; ties between items are broken by it, never by their ids."""
    events: EventConfig = EventConfig()
    encoder: EncoderConfig = EncoderConfig()
    item_item: ItemItemConfig = ItemItemConfig()
    factors: FactorsConfig = FactorsConfig()
    order: OrderConfig = OrderConfig()
    content: ContentConfig = ContentConfig()
    combine: CombineConfig = CombineConfig()
    serving: ServingConfig = ServingConfig()

    @property
    def config_hash(self) -> str:
        """Twelve hexadecimal characters that name this configuration, and the method that it is for."""
        text = json.dumps(self.model_dump(mode="json") | {"method": METHOD}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
