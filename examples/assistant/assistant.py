"""A chat assistant in a terminal, with OpenAI's client: streamed answers, numbered items, and `like N`.

    python examples/assistant/assistant.py --user ada

The environment says where: OPENAI_BASE_URL (ends with /v1) and OPENAI_API_KEY, as OpenAI's client reads them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import httpx
from openai import OpenAI

Message = Any
"""OpenAI's: `role` and `content`."""


def answer(client: OpenAI, user: str, dialogue: list[Message]) -> tuple[str, list[str]]:
    """Print the answer as it comes; its text, and the ids of the items that it is about."""
    said: list[str] = []
    items: list[str] = []
    stream: Any = client.chat.completions.create(model="tailorbird", user=user, messages=dialogue, stream=True)
    for chunk in stream:
        extra: dict[str, Any] = getattr(chunk, "tailorbird", None) or {}
        items = extra.get("item_ids", items)
        if chunk.choices and chunk.choices[0].delta.content:
            said.append(chunk.choices[0].delta.content)
            print(said[-1], end="", flush=True)
    print()
    return "".join(said), items


def like(api: httpx.Client, user: str, item_id: str) -> str:
    """Tell that the person likes the item; what to say of it."""
    sent = api.post("events", json={"user_id": user, "item_id": item_id, "type": "like"})
    sent.raise_for_status()
    title = api.get(f"items/{item_id}").raise_for_status().json()["title"]
    return f"liked {title}"


def main() -> None:
    """Talk until `quit` or the end of the input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--user", default="assistant-user", help="whose session counts")
    user = parser.parse_args().user
    client = OpenAI()
    dialogue: list[Message] = []
    items: list[str] = []
    headers = {"Authorization": f"Bearer {client.api_key}"}
    with httpx.Client(base_url=str(client.base_url), headers=headers, timeout=30) as api:
        for line in sys.stdin:
            text = line.strip()
            word, _, number = text.partition(" ")
            if text == "quit":
                return
            if word == "like" and number.isdigit() and 0 < int(number) <= len(items):
                print(like(api, user, items[int(number) - 1]))
            elif text:
                dialogue.append({"role": "user", "content": text})
                said, items = answer(client, user, dialogue)
                dialogue.append({"role": "assistant", "content": said})


if __name__ == "__main__":
    main()
