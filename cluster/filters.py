"""A small safe filter language over the items of the catalogue, parsed by a real parser and never evaluated as code.

    genre == "Drama" and year >= 1990
    not (tags contains "gore") and title != "Alien"
    year in [1979, 1986] or price < 9.5
    类型 == "科幻" and `price in €` < 1e3 and hidden == false

Names are the item's fields (`item_id`, `title`, `description`, `categories`, `tags`, `hidden`, `available_from`,
`available_until`, `updated_at`) and its attributes; `genre`, `category` and `tag` are other names for the lists. A name
of other than letters, digits, `_`, `.` and `-` stands between backquotes. A comparison with a list holds when it holds
for one of its members. A name that an item does not have makes a comparison false (and `!=` true). Text compares with
text, numbers with numbers; a comparison across kinds is false, never an error. Times are text, as `GET` shows them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken

from cluster.errors import InputError
from cluster.fields import optional_format
from cluster.messages import Item

MAX_CHARS = 2000
MAX_DEPTH = 50

Predicate = Callable[[Item], bool]

_GRAMMAR = r"""
    ?start: either
    ?either: both (_OR both)*
    ?both: negated (_AND negated)*
    ?negated: _NOT negated -> inverted
        | "(" either ")"
        | test
    test: NAME COMPARE literal -> compared
        | NAME _IN several -> member
        | NAME _CONTAINS literal -> containing
    several: "[" [literal ("," literal)*] "]"
    literal: STRING -> text
        | NUMBER -> number
        | TRUE -> true
        | FALSE -> false

    _OR.2: /or(?![\w.-])/i
    _AND.2: /and(?![\w.-])/i
    _NOT.2: /not(?![\w.-])/i
    _IN.2: /in(?![\w.-])/i
    _CONTAINS.2: /contains(?![\w.-])/i
    TRUE.2: /true(?![\w.-])/i
    FALSE.2: /false(?![\w.-])/i
    COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
    NAME: /[^\W\d][\w.-]*/ | /`[^`]+`/
    STRING: /"(?:[^"\\]|\\.)*"/ | /'(?:[^'\\]|\\.)*'/
    NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
    %ignore /\s+/
"""

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELDS: Mapping[str, Callable[[Item], Any]] = {
    "item_id": lambda item: item.item_id,
    "title": lambda item: item.title,
    "description": lambda item: item.description,
    "categories": lambda item: item.categories,
    "category": lambda item: item.categories,
    "genre": lambda item: item.categories,
    "genres": lambda item: item.categories,
    "tags": lambda item: item.tags,
    "tag": lambda item: item.tags,
    "hidden": lambda item: item.hidden,
    "available_from": lambda item: optional_format(item.available_from_ms),
    "available_until": lambda item: optional_format(item.available_until_ms),
    "updated_at": lambda item: optional_format(item.updated_ms),
}
_FIRM = frozenset({"item_id", "title", "description", "categories", "tags"})
"""Fields that an attribute of the same name does not hide."""
_NESTING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|(?i:not(?![\w.-]))|[()]|[\w.-]+""")
"""Texts and quoted names, in which nothing counts, and what opens, closes or ends a level."""


@lru_cache(maxsize=1024)
def parse_filter(text: str) -> Predicate:
    """The predicate that a filter describes.

    Raises:
        InputError: the filter is too long, too deep, or not of the language; the message names the column.
    """
    if len(text) > MAX_CHARS:
        raise InputError(f"is longer than {MAX_CHARS} characters", "filter")
    _check_depth(text)
    try:
        predicate: Predicate = _PARSER.parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        # Counted from the beginning of the filter, whatever line breaks are in it.
        column = len(text) + 1 if at_end or error.pos_in_stream is None else error.pos_in_stream + 1
        found = text[column - 1 : column + 11].strip() or "the end"
        raise InputError(f"column {column}: {found!r} is not expected here", "filter") from None
    return predicate


def read_field(item: Item, name: str) -> tuple[str, ...]:
    """The values of a field as texts: none, one, or those of a list."""
    return tuple(dict.fromkeys(str(value) for value in _members(_reader(name)(item)) if value != ""))


def _check_depth(text: str) -> None:
    """Raise where parentheses and `not` stand more than `MAX_DEPTH` deep."""
    opened: list[int] = []
    depth = pending = 0
    for token in _NESTING.finditer(text):
        found = token.group().lower()
        if found == "(" or found == "not":
            depth, pending = depth + 1, pending + 1
            if depth > MAX_DEPTH:
                raise InputError(f"column {token.start() + 1}: is nested deeper than {MAX_DEPTH}", "filter")
            if found == "(":
                opened.append(pending)
                pending = 0
        elif found == ")":
            depth -= opened.pop() if opened else 0
        else:  # a test, which ends the `not`s before it
            depth, pending = depth - pending, 0


class _Compiler(Transformer[Token, Any]):
    """Turns the parse tree into one predicate, bottom up."""

    def text(self, parts: list[Token]) -> str:
        body = parts[0][1:-1]
        return body.replace("\\\\", "\0").replace('\\"', '"').replace("\\'", "'").replace("\0", "\\")

    def number(self, parts: list[Token]) -> int | float:
        text = str(parts[0])
        return int(text) if text.lstrip("-").isdecimal() else float(text)  # long ids are not rounded

    def true(self, _: list[Token]) -> bool:
        return True

    def false(self, _: list[Token]) -> bool:
        return False

    def several(self, parts: list[Any]) -> list[Any]:
        return [part for part in parts if part is not None]

    def compared(self, parts: list[Any]) -> Predicate:
        read, sign, wanted = _reader(parts[0]), str(parts[1]), parts[2]
        if sign == "!=":
            equal = self.compared([parts[0], "==", wanted])
            return lambda item: not equal(item)
        compare = _OPERATORS[sign]
        return lambda item: any(_alike(value, wanted) and compare(value, wanted) for value in _members(read(item)))

    def member(self, parts: list[Any]) -> Predicate:
        tests = [self.compared([parts[0], "==", wanted]) for wanted in parts[1]]
        return lambda item: any(test(item) for test in tests)

    def containing(self, parts: list[Any]) -> Predicate:
        read, wanted = _reader(parts[0]), parts[1]

        def holds(item: Item) -> bool:
            value = read(item)
            if isinstance(value, str):
                return isinstance(wanted, str) and wanted.lower() in value.lower()
            return any(_alike(member, wanted) and member == wanted for member in _members(value))

        return holds

    def inverted(self, parts: list[Predicate]) -> Predicate:
        inner = parts[0]
        return lambda item: not inner(item)

    def both(self, parts: list[Predicate]) -> Predicate:
        return lambda item: all(part(item) for part in parts)

    def either(self, parts: list[Predicate]) -> Predicate:
        return lambda item: any(part(item) for part in parts)


def _reader(name: str) -> Callable[[Item], Any]:
    name = name.strip("`")
    field = _FIELDS.get(name)
    if field is not None and name not in _FIRM:
        # An attribute of that very name is what its owner means by it.
        return lambda item: item.attributes[name] if name in item.attributes else field(item)
    return field or (lambda item: item.attributes.get(name))


def _members(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _alike(value: Any, wanted: Any) -> bool:
    """Whether two values can be compared: text with text, truth with truth, numbers with numbers."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return isinstance(wanted, bool) and isinstance(value, bool)
    if isinstance(wanted, str):
        return isinstance(value, str)
    return isinstance(value, (int, float))


_PARSER = Lark(_GRAMMAR, parser="lalr", transformer=_Compiler(), maybe_placeholders=False)
