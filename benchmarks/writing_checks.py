"""What `benchmarks.writing` holds texts against: a check of facts that shares no code with the guard, and measures.

The check reads a text as a stranger would who has the catalogue beside it. Titles of the item and of what the person
liked, and values of the item's facts, are taken out; in what is left no number, no capital inside a sentence, no other
title of the catalogue and no genre that the item does not have may stand.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluster.messages import Item, WriteTask

_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’-][A-Za-zÀ-ɏ]+)*")

REFERENCE = Path(__file__).with_name("writing_reference.txt")
"""Fifty pitches of films written by hand, one a line."""
REFERENCES = {
    name: REFERENCE.with_stem(f"writing_reference_{name}") for name in ("books", "gear", "homeware", "mixed", "recipes")
}
"""The same of the items of those catalogues, 24 to 30 each."""
GENRES = {
    "action": "action action-packed",
    "adventure": "adventure adventures adventurous",
    "animation": "animation animated cartoon cartoons",
    "comedy": "comedy comedies comedic comic",
    "crime": "crime crimes gangster gangsters",
    "documentary": "documentary documentaries",
    "drama": "drama dramas dramatic",
    "fantasy": "fantasy fantasies",
    "horror": "horror horrors",
    "music": "musical musicals music",
    "mystery": "mystery mysteries whodunit",
    "noir": "noir",
    "romance": "romance romances romantic rom-com",
    "sci": "sci-fi science-fiction scifi",
    "thriller": "thriller thrillers",
    "war": "war wars wartime",
    "western": "western westerns",
    "child": "children children's kids",
    "sport": "sports",
    "biograph": "biography biographical biopic",
}
"""Words that say of what genre something is, by what the name of such a category holds."""
NUMBERS = frozenset(
    _WORD.findall(
        "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million"
    )
)
MIN_WORDS = 12
_LIBRARIAN = re.compile(r"^(?P<rest>.+), (?P<article>The|An?|La|Le|Les|Il|El|Das|Der|Die)$")


def titles_of(item: Item) -> set[str]:
    """A title in the forms in which people write it."""
    bare = re.sub(r"\s*\(\d{4}\)\s*$", "", " ".join(item.title.split()))
    forms = {
        item.title,
        bare,
        re.sub(r"[^\w\s'’.,:;!?&/+()-]", " ", bare),
        " ".join(re.sub(r"[<>|]", " ", bare).split()),
        " ".join(re.sub(r"[<>|]", " ", re.sub(r"</?\w[^<>]*>", " ", html.unescape(bare))).split()),
    }
    filed = [match for form in forms if (match := _LIBRARIAN.match(form)) is not None]
    return (forms | {f"{match['article']} {match['rest']}" for match in filed}) - {""}


def values_of(item: Item) -> list[str]:
    """Everything that is known of an item, as strings."""
    values: list[Any] = [*titles_of(item), item.description, *item.categories, *item.tags]
    for value in item.attributes.values():
        values += value if isinstance(value, list | tuple) else [value]
    return [str(value) for value in values if value not in ("", None)]


class FactCheck:
    """Checks texts against one catalogue."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._titles = {form for item in items for form in titles_of(item) if len(form) > 4 and not form.islower()}

    def violations(self, task: WriteTask, text: str) -> list[str]:
        """What a text says beyond the facts of its items and the titles of what the person liked, with its kind."""
        named = sorted({form for item in (*task.items, *task.liked) for form in titles_of(item)}, key=len, reverse=True)
        rest = text
        for name in named:
            rest = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "§", rest)
        known = " ".join(value for item in task.items for value in values_of(item))
        found = [f"number: {number}" for number in re.findall(r"\d+(?:[.,]\d+)*", rest) if number not in known]
        known_words = set(_WORD.findall(known.lower()))
        found += [f"number: {word}" for word in _WORD.findall(rest.lower()) if word in NUMBERS - known_words]
        for match in _WORD.finditer(rest):
            before = rest[: match.start()].rstrip(" “\"'(《")
            opens = not before or before[-1] in ".!?:。！？\n"
            word = match[0]
            if word[0].isupper() and not opens and word != "I" and word.lower() not in known_words:
                found.append(f"name: {word}")
        found += [
            f"title: {title}"
            for title in self._titles
            if title in rest and re.search(rf"(?<!\w){re.escape(title)}(?!\w)", rest)
        ]
        labels = " ".join(
            label.lower() for item in task.items for label in (*item.categories, *item.tags, item.description)
        )
        words = set(_WORD.findall(rest.lower()))
        for genre, forms in GENRES.items():
            if genre not in labels:
                found += [f"genre: {word}" for word in forms.split() if word in words and word not in known_words]
        return found


def distinct_2(texts: Sequence[str], draws: int = 200, size: int = 200) -> dict[str, float]:
    """Different pairs of neighbouring words among all, over sets of texts of at least `MIN_WORDS` words.

    `mean` and `least` over random sets, `sorted` over sets of texts that begin alike, the worst that one could pick.
    """
    long = sorted(text for text in texts if len(text.split()) >= MIN_WORDS)
    source = random.Random(0)
    size = min(size, len(long))

    def share(some: Sequence[str]) -> float:
        pairs = [pair for text in some for pair in pairwise(text.lower().split())]
        return len(set(pairs)) / max(1, len(pairs))

    drawn = [share(source.sample(long, size)) for _ in range(draws)] if long else [0.0]
    alike = [share(long[start : start + size]) for start in range(0, max(1, len(long) - size + 1), max(1, size // 2))]
    return {
        "mean": round(float(np.mean(drawn)), 3),
        "least": round(min(drawn), 3),
        "sorted": round(min(alike), 3),
        "long": len(long),
    }


def perplexity(texts: Sequence[str], folder: Path) -> float:
    """Of a language model, over all tokens of the texts, each on its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer.encode("\n" + text)])
            loss = float(model(input_ids=ids, labels=ids).loss)
            total, count = total + loss * (ids.shape[1] - 1), count + ids.shape[1] - 1
    return float(np.exp(total / max(1, count)))


def taste_of(liked: Sequence[Item]) -> str:
    """A taste in words, for the encoder."""
    return "Likes " + "; ".join(f"{item.title} ({', '.join(item.categories)})" for item in liked)


def identified(tastes: Sequence[str], texts: Sequence[str]) -> float:
    """The share of texts, one per taste, whose nearest taste for a sentence encoder (all-MiniLM-L6-v2) is their own."""
    from graph.text import TextEncoder, find_encoder

    folder = find_encoder("auto")
    assert folder is not None
    encoder = TextEncoder(folder, 1)
    a, b = (np.asarray(encoder.encode(list(some)), np.float32) for some in (texts, tastes))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float(((a @ b.T).argmax(axis=1) == np.arange(len(texts))).mean())
