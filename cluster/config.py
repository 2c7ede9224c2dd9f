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
from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cluster.errors import ConfigError
from cluster.sections import (
    EventsConfig,
    FinderConfig,
    IngressConfig,
    LimitsConfig,
    OidcConfig,
    RayConfig,
    RecommenderConfig,
    RetentionConfig,
    SessionsConfig,
    StoreConfig,
    TracingConfig,
    WriterConfig,
)

ENV_PREFIX = "TAILORBIRD_"
CONFIG_ENV = "TAILORBIRD_CONFIG"
DEFAULT_FILE = "tailorbird.yaml"

SectionModel = TypeVar("SectionModel", bound=BaseModel)

_SECRET = re.compile(r"key|url|secret", re.IGNORECASE)
"""Names of settings whose values are in no message."""


class Settings(BaseSettings):
    """What the whole copy shares: addresses, secrets, the language model; and the sections."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
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
    """Text engine: `auto`, `openvino` (CPU), `bitsandbytes` (CUDA and CPU) or `vllm` (CUDA)."""
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
    """The least serious lines that are logged."""

    events: EventsConfig = EventsConfig()
    store: StoreConfig = StoreConfig()
    retention: RetentionConfig = RetentionConfig()
    sessions: SessionsConfig = SessionsConfig()
    recommender: RecommenderConfig = RecommenderConfig()
    ingress: IngressConfig = IngressConfig()
    limits: LimitsConfig = LimitsConfig()
    oidc: OidcConfig = OidcConfig()
    writer: WriterConfig = WriterConfig()
    finder: FinderConfig = FinderConfig()
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
        elif _SECRET.search(where) or isinstance(fault.get("input"), (dict, list)):
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
