"""Ids in the address of a request: any id that a body may hold, to its last character.

- Starlette's `path` ends at a line break: `/v1/users/ada%0A` would name `ada`, and another record would be read,
  changed or erased. Routes take `{item_id:id}`, which goes on to the end.
- Servers read bytes that are no UTF-8 as U+FFFD: `caf%E9` and `caf%E8` would be one id. Such an address is refused.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor

from cluster.errors import InputError


class IdConvertor(Convertor[str]):
    """All that is left of the path, slashes and line breaks too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The id as it stands."""
        return value

    def to_string(self, value: str) -> str:
        """The id as it stands."""
        return value


def register() -> None:
    """Let paths have parameters `{...:id}`. To be called before any such route is made."""
    register_url_convertor("id", IdConvertor())


async def readable_address(request: Request) -> None:
    """Look at the address before a route does.

    Raises:
        InputError: it is not UTF-8.
    """
    scope = request.scope
    try:
        for part in (scope.get("raw_path") or b"", scope["query_string"]):
            if not part.isascii() or b"%" in part:
                unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InputError("the address is not UTF-8, percent-encoded") from None
