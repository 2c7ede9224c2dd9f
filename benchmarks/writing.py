"""`python -m benchmarks.writing`: how good texts are. Prints one JSON line.

    --pitches 1000       texts over random people and items
    --catalogue demo     the demo's films, or `mixed`: shop items and news, titles that are common words, hold digits,
                         begin in lower case or give orders; `books`, 120 that are made up; `homeware`, the 40 products
                         of examples/homeware; `bottles`, 40 with titles of four shared words; `recipes` and `gear`,
                         24 each with descriptions; or a file of items in JSON lines
    --kind pitch         or another kind
    --language en        or zh
    --engine openvino    with the demo model, in process
    --tastes 20          people with different tastes for each of `--taste-items 10` items; 0 leaves this out
    --scored 200         texts, the last ones, whose perplexity is measured; 0 leaves this out
    --texts FILE         write all texts there, to be read
    --models-dir DIR     where prepared models are kept

`violations`: what `benchmarks.writing_checks` finds in a text beyond the facts. `template_rate`: texts that the model
did not end. `perplexity_ratio`: to fifty pitches of films written by hand, under SmolLM2-135M-Instruct in float32;
`perplexity_ratio_same_items`: to pitches by hand of the items of all but `demo` and `bottles`. No other
language model comes in a wheel, so the judge is the writer's own model, unquantised, and leans to it. `distinct_2`: see
there. `taste`: how often an encoder that has no part in the writing (all-MiniLM-L6-v2) finds the taste that a text was
written for, and how many times chance that is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.generation_contest import MAX_LIKED, tasks
from benchmarks.writing_catalogue import mixed_tasks, small_tasks
from benchmarks.writing_checks import REFERENCE, REFERENCES, FactCheck, distinct_2, identified, perplexity, taste_of
from cluster.messages import Item, TextDone, WriteTask
from generation.config import GenerationConfig
from generation.engines import make
from generation.writer import TextWriter

SHOWN = 8


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks.writing"
    )
    parser.add_argument("--pitches", type=int, default=1000)
    parser.add_argument(
        "--catalogue", default="demo", help="demo, mixed, books, homeware, bottles, recipes, gear or a file of items"
    )
    parser.add_argument("--kind", default="pitch")
    parser.add_argument("--language", default="en")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--vocabulary", default="phrases", help="phrases, words or open")
    parser.add_argument("--tastes", type=int, default=20)
    parser.add_argument("--taste-items", type=int, default=10)
    parser.add_argument("--scored", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--models-dir", type=Path, default=Path(tempfile.gettempdir()) / "tailorbird-bench-models")
    return parser.parse_args(arguments)


def main() -> int:
    """Write, check, print; 1 when a text says more than the facts."""
    asked = parse()
    if asked.catalogue == "demo":
        from jobs.movielens import dataset_folder, read_items

        items, made = read_items(dataset_folder(), 0), tasks(asked.pitches)
    elif asked.catalogue == "mixed":
        items, made = mixed_tasks(asked.pitches)
    else:
        items, made = small_tasks(asked.catalogue, asked.pitches)
    made = [replace(task, kind=asked.kind, language=asked.language) for task in made]
    asked.models_dir.mkdir(parents=True, exist_ok=True)
    tastes = _tastes(items, asked) if asked.tastes and asked.kind == "pitch" else []
    began = time.perf_counter()
    texts = asyncio.run(_written([*made, *(task for group in tastes for task in group)], asked))
    took = time.perf_counter() - began
    own = texts[: len(made)]
    check = FactCheck(items)
    found = [
        (text.text, wrong) for task, text in zip(made, own, strict=True) if (wrong := check.violations(task, text.text))
    ]
    result: dict[str, Any] = {
        "texts": len(own),
        "texts_per_s": round(len(texts) / took, 2),
        "violations": len(found),
        "violations_by_kind": dict(Counter(wrong.split(":")[0] for _, all_wrong in found for wrong in all_wrong)),
        "first_violations": found[:SHOWN],
        "template_rate": round(sum(text.source == "template" for text in own) / max(1, len(own)), 4),
        "guard_rules": dict(Counter(rule for text in own for rule in text.rules)),
        "different": len({text.text for text in own}),
        "longest_chars": max((len(text.text) for text in own), default=0),
        "distinct_2": distinct_2([text.text for text in own]),
        "examples": [text.text for text in own[:SHOWN]],
    }
    if tastes:
        result["taste"] = _taste(tastes, texts[len(made) :])
    if asked.scored and asked.language == "en":
        result |= _perplexity([text.text for text in own][-asked.scored :], asked)
    if asked.texts:
        lines = (f"{'T' if text.source == 'template' else ' '} {text.text}".replace("\n", " / ") for text in own)
        asked.texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {key: str(getattr(asked, key)) for key in ("catalogue", "kind", "language", "engine", "vocabulary")}
    print(json.dumps({"benchmark": "writing", "setup": options, "results": result}, ensure_ascii=False))
    return 1 if found else 0


async def _written(made: list[WriteTask], asked: argparse.Namespace) -> list[TextDone]:
    config = GenerationConfig(threads=asked.threads, vocabulary=asked.vocabulary, deadline_s=120.0)
    engine = make(asked.engine, "demo", config, asked.models_dir)
    await engine.start()
    writer, places, done = TextWriter(engine, config), asyncio.Semaphore(config.max_batch), 0

    async def one(task: WriteTask) -> TextDone:
        nonlocal done
        async with places:
            last = [frame async for frame in writer.write(replace(task, deadline_s=120.0))][-1]
        done += 1
        if done % 100 == 0:
            print(f"{done} of {len(made)} texts", file=sys.stderr, flush=True)
        assert isinstance(last, TextDone)
        return last

    texts = await asyncio.gather(*map(one, made))
    await engine.stop()
    return texts


def _tastes(items: list[Item], asked: argparse.Namespace) -> list[list[WriteTask]]:
    """For some items, each, the same text for people who like different things."""
    source = random.Random(11)
    groups = []
    for item in source.sample(items, min(asked.taste_items, len(items))):
        others = [other for other in items if other is not item and other.title]
        size = min(MAX_LIKED, max(1, (len(items) - 1) // asked.tastes))
        liked = source.sample(others, min(len(others), asked.tastes * size))
        people = [tuple(liked[start : start + size]) for start in range(0, len(liked) - size + 1, size)]
        groups.append([WriteTask("pitch", (item,), one, language=asked.language) for one in people[: asked.tastes]])
    return groups


def _taste(groups: list[list[WriteTask]], texts: list[TextDone]) -> dict[str, float]:
    shares, chances, start = [], [], 0
    for group in groups:
        written = [text.text for text in texts[start : start + len(group)]]
        shares.append(identified([taste_of(task.liked) for task in group], written))
        chances.append(1 / len(group))
        start += len(group)
    found, chance = sum(shares) / len(shares), sum(chances) / len(chances)
    return {"found": round(found, 3), "chance": round(chance, 3), "times_chance": round(found / chance, 1)}


def _perplexity(texts: list[str], asked: argparse.Namespace) -> dict[str, float]:
    from generation.demo import prepare_model

    folder = Path(prepare_model("demo", asked.models_dir, lambda text: print(text, file=sys.stderr)))
    ours = perplexity(texts, folder)
    films = perplexity(REFERENCE.read_text(encoding="utf-8").splitlines(), folder)
    found = {"perplexity": ours, "perplexity_by_hand": films, "perplexity_ratio": ours / films}
    if asked.catalogue in REFERENCES:
        same = perplexity(REFERENCES[asked.catalogue].read_text(encoding="utf-8").splitlines(), folder)
        found |= {"perplexity_by_hand_same_items": same, "perplexity_ratio_same_items": ours / same}
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main())
