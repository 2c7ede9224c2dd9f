"""The sections of the settings: one model for each part of the application, every value with its meaning and unit.

`cluster.config` composes them; those of `graph` and `generation` stand beside their code.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

EVENT_TYPE_PATTERN = r"^[a-z0-9_]{1,64}$"


class Section(BaseModel):
    """A part of the settings: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EventsConfig(Section):
    """What events mean and how long they are kept."""

    weights: dict[str, float] = Field(
        default={
            "view": 0.3,
            "click": 0.5,
            "like": 1.0,
            "dislike": -1.0,
            "rating": 1.0,
            "purchase": 1.5,
            "add_to_cart": 0.8,
            "share": 1.0,
            "play": 0.6,
            "impression": 0.0,
            "dwell": 0.2,
        }
    )
    """How much one event of a type tells of a person's taste. A type that is not listed weighs `default_weight`."""
    default_weight: float = 0.3
    """Weight of a type without an entry in `weights`."""
    rating_scale: tuple[float, float] = (1.0, 5.0)
    """Lowest and highest value of a `rating`. In ranking even the lowest counts for an item, unless
    `graph.events.rating_floor` is zero or less; texts and paths call liked what lies above the middle."""
    max_ahead_s: float = Field(default=86_400.0, ge=0)
    """An event whose timestamp is further in the future than this is rejected."""

    @field_validator("weights")
    @classmethod
    def _names(cls, weights: dict[str, float]) -> dict[str, float]:
        for name in weights:
            if not re.match(EVENT_TYPE_PATTERN, name):
                raise ValueError(f"event type {name!r} is not 1 to 64 of a-z, 0-9 and _")
        return weights


class StoreConfig(Section):
    """The SQL store. Its address is the top-level `database_url`."""

    pool_size: int = Field(default=4, ge=1)
    """Connections per process; with SQLite those that read."""
    sqlite_cache_bytes: int = Field(default=64 << 20, ge=1 << 20)
    """Pages that the process which writes an SQLite file keeps in memory; a connection that reads keeps a quarter."""
    busy_timeout_s: float = Field(default=30.0, gt=0)
    """How long a statement waits for a locked database."""
    feed_poll_s: float = Field(default=0.1, gt=0, le=10)
    """How often the change feeds (catalogue, events accepted elsewhere) are read."""


class RetentionConfig(Section):
    """How long rows are kept; null keeps for ever. A server deletes what is older by itself, as does `jobs.prune`."""

    every_h: float | None = Field(default=24.0, gt=0)
    """Hours between two times that a server looks for what is older; null leaves it to `jobs.prune`."""
    events_days: float | None = Field(default=None, gt=0)
    """Events. Sessions are made of them, and the next version is trained on them."""
    feedback_days: float | None = Field(default=None, gt=0)
    """Verdicts and comments on lists and texts."""
    recommendations_days: float | None = Field(default=30.0, gt=0)
    """The log of the lists that were given: about 1 kB for each list of 10, so by far the fastest to grow."""
    operations_days: float | None = Field(default=30.0, gt=0)
    """Notes of finished operations, such as the erasure of a person."""
    audit_days: float | None = Field(default=None, gt=0)
    """The log of what was administered."""
    versions: int | None = Field(default=5, ge=1)
    """Versions beside the live one that a refresh leaves; null leaves all to `jobs.prune`."""


class SessionsConfig(Section):
    """The pool of session shards."""

    shards: int = Field(default=1, ge=1, le=1024)
    """How many `SessionShard` actors there are. SQLite allows exactly one: it is the file's only writer."""
    max_events_per_user: int = Field(default=1000, ge=1)
    """Older events of a person leave the session (never the store) beyond this number."""
    memory_bytes_per_shard: int = Field(default=1 << 30, ge=1 << 20)
    """Sessions that were not used for longest leave memory beyond this; they come back from the store on demand."""
    max_batch: int = Field(default=512, ge=1)
    """Requests that travel to a shard in one call at most."""
    max_queue: int = Field(default=4096, ge=1)
    """Requests that may wait for one shard in one process; more are answered 429."""
    timeout_s: float = Field(default=10.0, gt=0)
    """How long an event may take to be stored: longer than a shard needs to come back, so that a loss costs nothing."""
    view_timeout_s: float = Field(default=0.5, gt=0)
    """How long a list waits for the session; then it is made without it, marked `degraded`."""
    commit_retry_s: float = Field(default=8.0, ge=0)
    """How long a commit is tried again while the database cannot be reached (a restart, a failover)."""
    full_retry_s: float = Field(default=8.0, ge=0)
    """How long commits are tried again when the disk becomes full; while it stays full, events are refused at once."""
    num_cpus: float = Field(default=0.1, ge=0)
    """CPU that one shard reserves in Ray."""


class RecommenderConfig(Section):
    """How ranking is bound into the application."""

    diversity: float = Field(default=0.0, ge=0, le=1)
    """`diversity` of the lists whose request does not say."""
    explore: float = Field(default=0.0, ge=0, le=1)
    """`explore` of the lists whose request does not say: the share of places drawn among little known items."""
    binding: Literal["ingress", "deployment"] = "ingress"
    """In the ingress replica, or as the Serve deployment `Recommender` with replicas of its own."""
    min_replicas: int = Field(default=1, ge=1)
    """Fewest replicas of the deployment `Recommender`; without it there are none."""
    max_replicas: int = Field(default=2, ge=1)
    """Most replicas of the deployment `Recommender`."""
    num_cpus: float = Field(default=0.2, ge=0)
    """CPU that one replica reserves in Ray."""
    registry_poll_s: float = Field(default=1.0, gt=0)
    """How often, give or take a fifth, the registry pointer is read."""


class IngressConfig(Section):
    """The HTTP side."""

    min_replicas: int = Field(default=1, ge=1)
    """Fewest replicas of the HTTP application."""
    max_replicas: int = Field(default=1, ge=1)
    """Most replicas of the HTTP application. Serve adds one when a quarter of `max_concurrent` is in work in each."""
    num_cpus: float = Field(default=0.2, ge=0)
    """CPU that one replica reserves in Ray."""
    max_body_bytes: int = Field(default=10_000_000, ge=1024)
    """A longer request body is answered 413."""
    max_concurrent: int = Field(default=512, ge=1)
    """Requests in work in one replica; more are answered 429. Half of them may be lists; four times as many lists wait
    in HAProxy. Events that wait for a shard or a database which is away do not count: `sessions.max_queue` is their
    limit."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Deadline of a request that names none."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """How long a client may take to send a body; then it is answered 408."""
    cors_origins: list[str] = []
    """Origins (`https://shop.example`) whose pages may call the API from a browser, with a key. Default: none may."""
    session_h: float = Field(default=12.0, gt=0)
    """Hours until the page asks for the key again."""
    hsts_s: int = Field(default=0, ge=0)
    """`max-age` of Strict-Transport-Security, sent on what came by HTTPS to the proxy in front. 0: not sent."""

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/?#*\s]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://shop.example")
        return origins


class LimitsConfig(Section):
    """How much one key may ask for. Rates are written as `100/minute`, `20/second` or `1000000/day`."""

    per_key: list[str] = []
    """Rates that count for each key that has none of its own. The bootstrap key has none."""
    storage_url: SecretStr | None = None
    """`redis://...` or `rediss://...` counts for all replicas together. Default: in memory, each replica for itself."""
    timeout_s: float = Field(default=0.25, gt=0)
    """How long Redis may take; when it does not answer, each replica counts for itself."""


class OidcConfig(Section):
    """Tokens (JWT) of an OpenID Connect issuer, as an alternative to API keys."""

    issuer: str | None = None
    """The `iss` of its tokens, and where `/.well-known/openid-configuration` is. Default: no tokens are taken."""
    audience: str | None = None
    """The `aud` that a token must have. Needed with an issuer."""
    jwks_url: str | None = None
    """Where the issuer's keys are. Default: where its configuration says."""
    algorithms: list[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]] = [
        "RS256",
        "ES256",
    ]
    """Signatures that count. Only such with a public key are possible."""
    tenant_claim: str = "tenant"
    """The claim that names the tenant."""
    default_tenant: str | None = None
    """The tenant of a token without that claim. Default: such a token is refused."""
    tenants: list[str] | None = None
    """The only tenants whose tokens count. Default: any that the issuer names."""
    scope_claim: str = "scope"
    """The claim with the scopes, a list or words with spaces between. `scope_prefix` is taken off."""
    scope_prefix: str = ""
    """What stands before `read`, `write` and `admin` in the issuer's scopes, such as `tailorbird:`."""
    leeway_s: float = Field(default=30.0, ge=0, le=300)
    """By how much the issuer's clock and ours may differ."""
    refresh_s: float = Field(default=300.0, gt=0)
    """How often the issuer's keys are read again. An unknown key is looked for at once, but not more often than every
    ten seconds."""


class WriterConfig(Section):
    """Replicas of the deployment `Writer`."""

    min_replicas: int = Field(default=1, ge=0)
    """Fewest replicas. With 0 the writer goes when nobody asks, and templates speak until it is back."""
    max_replicas: int = Field(default=1, ge=1)
    """Most replicas."""
    target_ongoing: float = Field(default=8.0, gt=0)
    """Texts in work per replica that autoscaling aims at."""
    num_cpus: float = Field(default=0.4, ge=0)
    """CPU that one replica reserves in Ray. How many threads it computes with is `generation.threads`."""
    num_gpus: float = Field(default=0.0, ge=0)
    """GPUs that one replica reserves in Ray; a part of one lets several replicas share it."""


class FinderConfig(Section):
    """The deployment `Finder`, which knows the catalogue by meaning where there is a sentence encoder."""

    min_replicas: int = Field(default=1, ge=1)
    """Fewest replicas. Each holds the encoder, and the text vectors of all items that are asked about."""
    max_replicas: int = Field(default=1, ge=0)
    """Most replicas. 0: none, and the chat finds items by their titles and categories alone."""
    num_cpus: float = Field(default=0.0, ge=0)
    """CPU that one replica reserves in Ray. It computes with one thread, and rarely."""
    timeout_s: float = Field(default=0.5, gt=0)
    """How long a request waits for what it finds; then it goes on without."""


class TracingConfig(Section):
    """OpenTelemetry traces: see `cluster.tracing`."""

    endpoint: HttpUrl | None = None
    """Base URL of a collector that takes OTLP over HTTP, such as `http://collector:4318`. Default: no traces."""
    sample: float = Field(default=0.05, ge=0, le=1)
    """Share of the requests that are traced when the client did not decide by a `traceparent` of its own."""
    service: str = Field(default="tailorbird", min_length=1)
    """The spans' `service.name`."""


class RayConfig(Section):
    """The Ray that `tailorbird serve` starts. Ports that are not set are chosen among the free ones."""

    temp_dir: str | None = None
    """Ray's folder for sockets and logs; must be short. Default: a folder of /tmp named after the state directory."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs that Ray may plan with. Default: those of the machine."""
    object_store_bytes: int = Field(default=512 << 20, ge=80 << 20)
    """Shared memory for what travels between Ray's processes."""
    dashboard_port: int | None = Field(default=None, ge=1024, le=65535)
    """Port of Ray's dashboard and job submission, on 127.0.0.1. Default: a free one."""
