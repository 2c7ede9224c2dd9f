"""The part of values.schema.json that describes `settings`, derived from the models that check the settings file.

`python -m tests.k8s.settings_schema` writes it into the chart; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cluster.config import Settings
from generation.config import GenerationConfig
from graph.config import GraphConfig

SCHEMA = Path(__file__).parents[2] / "k8s" / "chart" / "values.schema.json"

CHART_DECIDES = {
    "Settings": {
        "host",
        "port",
        "state_dir",
        "api_key",
        "database_url",
        "artifacts_url",
        "pseudonymise_key",
        "pseudonymise_old_keys",
        "encryption_keys",
        "secret_key",
        "old_secret_key",
        "ray",
    },
    "IngressConfig": {"min_replicas", "max_replicas"},
    "RecommenderConfig": {"min_replicas", "max_replicas"},
    "WriterConfig": {"min_replicas", "max_replicas", "target_ongoing"},
}
"""Settings that other values of the chart stand for; as settings they are refused."""

_WORDS = {"default", "title", "description", "format", "writeOnly"}


def settings_definitions() -> dict[str, Any]:
    """JSON schemas by name, `Settings` being the root. Only what is checked: no defaults, no descriptions."""
    definitions: dict[str, Any] = {}
    for model in (Settings, GraphConfig, GenerationConfig):
        schema = model.model_json_schema(mode="validation")
        for name, definition in schema.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise ValueError(f"two different models are called {name}")
        definitions[model.__name__] = schema
    definitions["Settings"]["properties"] |= {
        "graph": {"$ref": "#/$defs/GraphConfig"},
        "generation": {"$ref": "#/$defs/GenerationConfig"},
    }
    for name, refused in CHART_DECIDES.items():
        for key in refused:
            del definitions[name]["properties"][key]
    used = _reachable(definitions, "Settings")
    return {name: _bare(definitions[name]) for name in sorted(used)}


def with_settings(schema: dict[str, Any]) -> dict[str, Any]:
    """The chart's schema with the settings part replaced by what the models say now."""
    kept = {name: value for name, value in schema["$defs"].items() if name[0].islower()}
    return schema | {"$defs": kept | settings_definitions()}


def dumped(schema: dict[str, Any]) -> str:
    """The schema as it stands in the file."""
    return json.dumps(schema, indent=2) + "\n"


def _reachable(definitions: dict[str, Any], root: str) -> set[str]:
    seen: set[str] = set()
    todo = [root]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [other for other in definitions if f'"#/$defs/{other}"' in json.dumps(definitions[name])]
    return seen


def _bare(node: Any, names: bool = False) -> Any:
    """Without the words; `names` says that the keys of this mapping are names of settings."""
    if isinstance(node, dict):
        return {key: _bare(value, key == "properties") for key, value in node.items() if names or key not in _WORDS}
    if isinstance(node, list):
        return [_bare(value) for value in node]
    return node


if __name__ == "__main__":
    SCHEMA.write_text(dumped(with_settings(json.loads(SCHEMA.read_text()))))
