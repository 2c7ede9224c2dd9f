"""Settings: one YAML file for the whole application, each value also settable by environment variable.

The environment wins over the file, the file over the defaults. `TAILORBIRD_PORT=9000` sets `port`;
`TAILORBIRD_SESSIONS__SHARDS=4` sets `shards` of the section `sessions`. The file is named by `--config` or
`TAILORBIRD_CONFIG`, otherwise `tailorbird.yaml` in the working directory is read when it exists.

The sections `graph` and `generation` belong to those packages: here they are plain mappings, and each package checks
its own with the model beside its code (`graph.config.GraphConfig`, `generation.config.GenerationConfig`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cluster.errors import ConfigError

ENV_PREFIX = "TAILORBIRD_"
CONFIG_ENV = "TAILORBIRD_CONFIG"
DEFAULT_FILE = "tailorbird.yaml"

SectionModel = TypeVar("SectionModel", bound=BaseModel)

_SECRET = re.compile(r"key|url|secret", re.IGNORECASE)
"""Names of settings whose values are in no message."""
EVENT_TYPE_PATTERN = r"^[a-z0-9_]{1,64}$"


class Section(BaseModel):
    """A part of the settings: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """Lowest and highest value of a `rating`; the middle is neutral, above is liking, below is dislike."""
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
    """Connections per process, PostgreSQL only."""
    sqlite_cache_bytes: int = Field(default=64 << 20, ge=1 << 20)
    """Pages that the process which writes an SQLite file keeps in memory; a connection that reads keeps a quarter."""
    busy_timeout_s: float = Field(default=30.0, gt=0)
    """How long a statement waits for a locked database."""
    feed_poll_s: float = Field(default=0.2, gt=0, le=10)
    """How often the change feeds (catalogue, events accepted elsewhere) are read."""


class RetentionConfig(Section):
    """How long rows are kept; null keeps for ever. A server deletes what is older by itself, as does `jobs.prune`."""

    every_h: float | None = Field(default=24.0, gt=0)
    """Hours between two times that a server looks for what is older; null leaves it to `jobs.prune`."""

    events_days: float | None = Field(default=None, gt=0)
    feedback_days: float | None = Field(default=None, gt=0)
    recommendations_days: float | None = Field(default=30.0, gt=0)
    """The log of the lists that were given: about 1 kB for each list of 10, so by far the fastest to grow."""
    operations_days: float | None = Field(default=30.0, gt=0)
    """Notes of finished operations, such as the erasure of a person."""
    audit_days: float | None = Field(default=None, gt=0)
    """The log of what was administered."""


class SessionsConfig(Section):
    """The pool of session shards."""

    shards: int = Field(default=1, ge=1, le=1024)
    """How many `SessionShard` actors there are. SQLite allows exactly one: it is the file's only writer."""
    max_events_per_user: int = Field(default=1000, ge=1)
    """Older events of a person leave the session (never the store) beyond this number."""
    memory_bytes_per_shard: int = Field(default=1 << 30, ge=1 << 20)
    """Sessions that were not used for longest leave memory beyond this; they come back from the store on demand."""
    max_batch: int = Field(default=512, ge=1)
    """Requests that travel in one actor call at most."""
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

    binding: Literal["ingress", "deployment"] = "ingress"
    """In the ingress replica, or as the Serve deployment `Recommender` with replicas of its own."""
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=2, ge=1)
    num_cpus: float = Field(default=0.2, ge=0)
    registry_poll_s: float = Field(default=1.0, gt=0)
    """How often, give or take a fifth, the registry pointer is read."""


class IngressConfig(Section):
    """The HTTP side."""

    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    num_cpus: float = Field(default=0.2, ge=0)
    max_body_bytes: int = Field(default=10_000_000, ge=1024)
    """A longer request body is answered 413."""
    max_concurrent: int = Field(default=512, ge=1)
    """Requests in work in one replica; more are answered 429."""
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
    leeway_s: float = Field(default=30.0, ge=0, le=300)
    """By how much the issuer's clock and ours may differ."""
    refresh_s: float = Field(default=300.0, gt=0)
    """How often the issuer's keys are read again. An unknown key is looked for at once, but not more often than every
    ten seconds."""


class WriterConfig(Section):
    """Replicas of the deployment `Writer`."""

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing: float = Field(default=8.0, gt=0)
    """Texts in work per replica that autoscaling aims at."""
    num_cpus: float = Field(default=0.4, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)


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
    dashboard_port: int | None = Field(default=None, ge=1024, le=65535)


class Settings(BaseSettings):
    """All settings. See the module for where they come from."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    host: str = "127.0.0.1"
    """Address that HTTP binds to."""
    port: int = Field(default=8000, ge=1024, le=65535)
    """Port of the HTTP API and the page."""
    state_dir: Path = Path(".tailorbird")
    """Everything that is kept on this machine: database, artifacts, models, keys."""
    api_key: SecretStr | None = None
    """The bootstrap key, which may do everything. Default: made at first start, kept in the state directory (0600)."""
    secret_key: SecretStr | None = None
    """Signs the page's sessions and keys the hashes of API keys; 32 characters or more. Default: derived from the
    bootstrap key."""
    old_secret_key: SecretStr | None = None
    """The secret before, while it is being changed: what was made with it still counts."""
    database_url: str | None = Field(default=None, repr=False)
    """SQLAlchemy URL. Default: SQLite in the state directory."""
    artifacts_url: str | None = None
    """Where versions are published: a folder, `s3://...` or `gs://...`. Default: in the state directory."""
    engine: str = "auto"
    """Text engine: auto, bitsandbytes, ..."""
    model: str = "demo"
    """Language model: `demo`, a Hugging Face id, a local folder or a GGUF file."""
    pseudonymise_key: SecretStr | None = None
    """When set, user ids are stored as their HMAC under this key, never in the clear."""
    pseudonymise: bool | None = None
    """The same with a key that is made at first start and kept in the state directory (0600), where there is no
    `pseudonymise_key`; false: ids are stored as they come. Default: as the key says."""
    pseudonymise_old_keys: list[SecretStr] = []
    """The keys before that one, the oldest first: see docs/security.md for how keys are rotated."""
    encryption_keys: list[SecretStr] = []
    """Contexts of events, comments and attributes of users are stored encrypted under the first; all of them open."""
    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """The copy's own tenant. Admin keys of this one administer all others."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    events: EventsConfig = EventsConfig()
    store: StoreConfig = StoreConfig()
    retention: RetentionConfig = RetentionConfig()
    sessions: SessionsConfig = SessionsConfig()
    recommender: RecommenderConfig = RecommenderConfig()
    ingress: IngressConfig = IngressConfig()
    limits: LimitsConfig = LimitsConfig()
    oidc: OidcConfig = OidcConfig()
    writer: WriterConfig = WriterConfig()
    tracing: TracingConfig = TracingConfig()
    ray: RayConfig = RayConfig()
    graph: dict[str, Any] = {}
    """Checked by `graph.config.GraphConfig`."""
    generation: dict[str, Any] = {}
    """Checked by `generation.config.GenerationConfig`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the values given by `load_settings`, which come from the file."""
        return env_settings, init_settings

    @property
    def resolved_database_url(self) -> str:
        """The database's SQLAlchemy URL, the default filled in."""
        return self.database_url or f"sqlite:///{self.state_dir.resolve() / 'tailorbird.db'}"

    @property
    def resolved_artifacts_url(self) -> str:
        """Where versions are published, the default filled in."""
        return self.artifacts_url or str(self.state_dir.resolve() / "artifacts")

    @property
    def uses_sqlite(self) -> bool:
        """Whether the store is an SQLite file, which has exactly one writer process."""
        return self.resolved_database_url.startswith("sqlite")


def load_settings(path: str | Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read the settings from a file and the environment.

    Args:
        path: the YAML file. Default: `TAILORBIRD_CONFIG`, then `tailorbird.yaml` in the working directory if it exists.
        overrides: values that win over the file, but not over the environment.

    Raises:
        ConfigError: a setting is unknown or malformed, or the file cannot be read. The message names each.
    """
    _refuse_unknown_environment()
    values = _read_file(path) | (overrides or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError(describe(error, "setting")) from None
    except Exception as error:  # pydantic-settings wraps malformed JSON of the environment in its own errors
        raise ConfigError(f"settings cannot be read: {error}") from None
    if settings.uses_sqlite and settings.sessions.shards != 1:
        raise ConfigError(
            f"sessions.shards is {settings.sessions.shards} and the database is SQLite, which has exactly one writer: "
            "use 1 shard, or a PostgreSQL URL as database_url"
        )
    return settings


def parse_section(model: type[SectionModel], values: dict[str, Any], name: str) -> SectionModel:
    """Check a section with the model of the package that it belongs to.

    Raises:
        ConfigError: a key is unknown or a value malformed; the message names each as `section.key`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, "setting", name)) from None


def describe(error: ValidationError, noun: str, section: str = "") -> str:
    """Each fault of a validation error: where (in which section), what was given, what is wrong."""
    lines = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in (section, *fault["loc"]) if part != "") or noun
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown {noun} {where!r}")
        elif _SECRET.search(where):
            lines.append(f"{noun} {where!r}: {fault['msg']}")
        else:
            lines.append(f"{noun} {where!r} is {fault.get('input')!r}: {fault['msg']}")
    return "; ".join(lines)


def settings_file(path: str | Path | None = None) -> Path | None:
    """The settings file that counts: the one named, `TAILORBIRD_CONFIG`'s, or `tailorbird.yaml` if it exists.

    Raises:
        ConfigError: a file is named and does not exist.
    """
    named = path or os.environ.get(CONFIG_ENV)
    file = Path(named or DEFAULT_FILE)
    if file.is_file():
        return file
    if named:
        raise ConfigError(f"the settings file {str(file)!r} does not exist")
    return None


def _read_file(path: str | Path | None) -> dict[str, Any]:
    file = settings_file(path)
    if file is None:
        return {}
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the settings file {str(file)!r} cannot be read: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the settings file {str(file)!r} holds a {type(values).__name__}, not a mapping")
    return values


def _refuse_unknown_environment() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if not name.startswith(ENV_PREFIX) or name == CONFIG_ENV:
            continue
        top = name.removeprefix(ENV_PREFIX).split("__", 1)[0]
        if top not in known:
            raise ConfigError(f"unknown setting {name!r} in the environment")


__all__ = ["ConfigError", "Settings", "describe", "load_settings", "parse_section", "settings_file"]
