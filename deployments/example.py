"""One example of the API: a request, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and what its answer looks like.

    Args:
        title: what it shows.
        method: of HTTP. path: as in the document, with `{names}`.
        ids: values of the names. query: parameters. body: JSON.
        status: of the answer. answer: a part of it; values differ, names and types do not.
        keeps: fields of the answer by the shell variable that later examples use.
        is_stream: whether the answer is a stream of events; `answer` is then a list of lines that are in it.
    """

    title: str
    method: str
    path: str
    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    status: int = 200
    answer: Any = None
    keeps: Mapping[str, str] = field(default_factory=dict)
    is_stream: bool = False
