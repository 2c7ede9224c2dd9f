"""An example of the API as the curl command that a reader pastes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from deployments.example import Example

_VARIABLE = re.compile(r"\$[A-Z_]+")
_WIDTH = 100


def command(example: Example) -> str:
    """The command. It uses the shell's `$URL` and `$KEY`, and the variables of examples before it."""
    path = example.path
    for name, value in example.ids.items():
        path = path.replace(f"{{{name}}}", value)
    words = ["curl -N" if example.is_stream and example.body else "curl", f'"$URL{path}"']
    parts = [] if example.path.startswith("/healthz") else ['-H "Authorization: Bearer $KEY"']
    if example.method not in {"GET", "POST"} or (example.method == "POST" and example.body is None):
        words.insert(1, f"-X {example.method}")
    if example.query:
        words.insert(1, "-G")
        parts += [_pair(name, value) for name, value in example.query.items()]
    if example.body is not None:
        parts.append(f"-d {_quoted(written(example.body, 2))}")
    line = " ".join([*words, *parts])
    if len(line) <= _WIDTH:
        return line
    first = " ".join([*words, *parts[:1]])
    return " \\\n  ".join([first, *parts[1:]])


def covers(sample: Any, actual: Any, where: str = "answer") -> list[str]:
    """What a sample of an answer shows and the answer does not have: names and types count, values do not."""
    if isinstance(sample, Mapping):
        if not isinstance(actual, Mapping):
            return [f"{where} is no object but {actual!r}"]
        missing = [f"{where}.{name} is missing" for name in sample if name not in actual]
        inner = [covers(value, actual[name], f"{where}.{name}") for name, value in sample.items() if name in actual]
        return missing + [fault for faults in inner for fault in faults]
    if isinstance(sample, list):
        if not isinstance(actual, list) or (sample and not actual):
            return [f"{where} is no list with members but {actual!r}"]
        return covers(sample[0], actual[0], f"{where}[0]") if sample else []
    return [] if _kind(sample) == _kind(actual) else [f"{where} is {actual!r}, not like {sample!r}"]


def written(value: Any, indent: int = 0) -> str:
    """JSON, over several lines only where one would be long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _WIDTH or not isinstance(value, (dict, list)):
        return line
    inner = indent + 2
    if isinstance(value, dict):
        parts = [f"{json.dumps(name, ensure_ascii=False)}: {written(part, inner)}" for name, part in value.items()]
    else:
        parts = [written(part, inner) for part in value]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    pad = " " * inner
    return f"{opened}\n{pad}" + f",\n{pad}".join(parts) + f"\n{' ' * indent}{closed}"


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _pair(name: str, value: str | int) -> str:
    if isinstance(value, int) or re.fullmatch(r"[\w.-]+", value):
        return f"-d {name}={value}"
    return f"--data-urlencode {_quoted(f'{name}={value}')}"


def _quoted(text: str) -> str:
    """In single quotes, variables outside of them."""
    assert "'" not in text, text
    return "'" + _VARIABLE.sub(lambda found: f"'{found.group()}'", text) + "'"
