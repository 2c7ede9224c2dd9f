"""docs/configuration.md: every setting with environment name, type, default, unit and meaning, made from the models.

`python -m tests.docs.configuration` writes the page (`make docs`); a test fails while it is not what the models say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster.config import ENV_PREFIX, Settings
from generation.config import GenerationConfig
from graph.config import GraphConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

ELSEWHERE: dict[str, type[BaseModel]] = {"graph": GraphConfig, "generation": GenerationConfig}
"""Sections that are plain mappings in `Settings`, because the model stands beside another package's code."""

UNITS = {
    "_ms": "ms",
    "_s": "seconds",
    "_h": "hours",
    "_days": "days",
    "_bytes": "bytes",
    "_tokens": "tokens",
    "_chars": "characters",
    "_cpus": "CPUs",
    "_gpus": "GPUs",
    "_share": "share",
    "_items": "items",
    "_events": "events",
    "_users": "people",
    "_queries": "sessions",
    "_steps": "steps",
    "_replicas": "replicas",
    "shards": "shards",
    "threads": "threads",
    "epochs": "epochs",
    "dim": "dimensions",
}
"""What a name ends with, and the unit that it says."""

BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "at least",
    "maxLength": "at most",
    "minItems": "at least",
    "maxItems": "at most",
}
"""What limits a value in a JSON schema, and how it is said. Lengths are characters, or members of a list."""

HEAD = """# Settings

Made from the models that check them (`make docs`): do not edit this page.

One YAML file holds everything: the one of `--config FILE`, else of `TAILORBIRD_CONFIG`, else `tailorbird.yaml` in the
working directory. Each setting is also an environment variable, which wins over the file: the name in capitals after
`TAILORBIRD_`, with two underscores between a section and what is in it. Lists and mappings are JSON there:

```
TAILORBIRD_PORT=9000
TAILORBIRD_SESSIONS__SHARDS=4
TAILORBIRD_LIMITS__PER_KEY='["100/second", "5000000/day"]'
```

```yaml
port: 9000
sessions: {shards: 4}
limits:
  per_key: [100/second, 5000000/day]
```

An unknown name or a value that does not fit is refused at start, and the message names it. Values of secrets are in no
message. In the Helm chart the file stands under `settings`; what other values of the chart decide (ports, replicas,
addresses, secrets) is refused there, see [kubernetes.md](kubernetes.md).
"""


def page() -> str:
    """The whole page."""
    sections = list(_sections("", Settings))
    names = [name for name, _ in sections if name]
    index = ", ".join(f"[`{name}`](#{name.replace('.', '')})" for name in names)
    parts = [HEAD, f"Sections: {index}.\n"]
    for name, model in sections:
        heading = f"## {name}" if name else "## Top level"
        said = _line(model.__doc__ or "")
        parts.append(f"{heading}\n\n{said}\n\n" + "\n".join(_table(name, model)) + "\n")
    return "\n".join(parts)


def settings(name: str = "", model: type[BaseModel] = Settings) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted name."""
    for section, owner in _sections(name, model):
        for key, field in owner.model_fields.items():
            if _section_of(section, key, field) is None:
                yield f"{section}.{key}" if section else key, field


def environment_name(setting: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + setting.upper().replace(".", "__")


def _sections(name: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    own = [key for key, field in model.model_fields.items() if _section_of(name, key, field) is None]
    if own:
        yield name, model
    for key, field in model.model_fields.items():
        section = _section_of(name, key, field)
        if section is not None:
            yield from _sections(f"{name}.{key}" if name else key, section)


def _section_of(parent: str, key: str, field: FieldInfo) -> type[BaseModel] | None:
    if not parent and key in ELSEWHERE:
        return ELSEWHERE[key]
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(section: str, model: type[BaseModel]) -> Iterator[str]:
    yield "| setting, environment | type | default | unit | meaning |"
    yield "|---|---|---|---|---|"
    properties = model.model_json_schema(mode="validation")["properties"]
    for key, field in model.model_fields.items():
        if _section_of(section, key, field) is None:
            name = f"{section}.{key}" if section else key
            cells = (
                f"`{name}`<br>`{environment_name(name)}`",
                type_of(properties[key]),
                _default(key, field),
                _unit(key),
                _line(field.description or ""),
            )
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_of(schema: dict[str, Any]) -> str:
    """A JSON schema's type and bounds for people; `#Name` for what is described elsewhere."""
    if "$ref" in schema:
        return "#" + schema["$ref"].rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(type_of(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array" and "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {type_of(schema['prefixItems'][0])}"
    named = {"format:password": "secret", "format:path": "path", "format:uri": "URL"}
    bounds = [f"{sign} {schema[key]:.15g}" for key, sign in BOUNDS.items() if key in schema]
    if kind == "array":
        return ", ".join([f"list of {type_of(schema['items'])}", *bounds])
    if kind == "object":
        inner = schema.get("additionalProperties", True)
        return "object" if isinstance(inner, bool) else f"mapping to {type_of(inner)}"
    return ", ".join([named.get(f"format:{schema.get('format')}", kind), *bounds])


def _default(key: str, field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "none"
    if key.endswith("_bytes"):
        return f"`{value}` ({value >> 20} MiB)"
    shown = str(value) if isinstance(value, Path) else json.dumps(value)
    return f"`{shown}`"


def _unit(key: str) -> str:
    return next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
