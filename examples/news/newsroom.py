"""A made-up newsroom: publishes articles of the last two days, and lets made-up readers read them.

    python examples/news/newsroom.py publish     # 60 articles, some already over
    python examples/news/newsroom.py readers     # 80 readers with two sections each

Reads URL and KEY from the environment. The same every time, but for the times, which are counted from now.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from typing import Any

import httpx

SECTIONS = {
    "Harbour": ("ferry", "pier", "trawler", "lighthouse", "tide"),
    "Council": ("budget", "library", "bus lane", "playground", "market square"),
    "Sport": ("rowing eight", "football cup", "marathon", "chess club", "swimming pool"),
    "Stage": ("theatre", "brass band", "film festival", "choir", "puppet show"),
    "Weather": ("storm", "frost", "heat wave", "fog", "rainfall"),
}
NEWS = ("opens again", "closes for repairs", "breaks a record", "seeks volunteers", "divides the town", "turns fifty")
COUNT = 60
HOUR_S = 3600


def articles(now_s: float) -> list[dict[str, Any]]:
    """The newest is minutes old, the oldest two days; each lives for 45 hours."""
    source = random.Random(3)
    made = []
    for number in range(COUNT):
        section = source.choice(list(SECTIONS))
        subject, what = source.choice(SECTIONS[section]), source.choice(NEWS)
        begun_s = now_s - number * 48 * HOUR_S / COUNT - 60
        made.append(
            {
                "item_id": f"news/{number:03d}",
                "title": f"{subject.capitalize()} {what}",
                "description": f"The {subject} {what}. A report from {section.lower()}.",
                "categories": [section],
                "tags": subject.split(),
                "attributes": {"minutes": source.randrange(1, 8)},
                "available_from": begun_s,
                "available_until": begun_s + 45 * HOUR_S,
            }
        )
    return made


def readers(now_s: float) -> list[dict[str, Any]]:
    """What 80 people read, most of it in the two sections that are theirs."""
    source = random.Random(4)
    by_section: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    for article in articles(now_s):
        by_section[article["categories"][0]].append(article)
    events = []
    for number in range(80):
        mine = source.sample(list(SECTIONS), 2)
        for turn in range(source.randrange(5, 14)):
            section = source.choice(mine) if source.random() < 0.85 else source.choice(list(SECTIONS))
            article = source.choice(by_section[section])
            at_s = article["available_from"] + source.random() * (now_s - article["available_from"])
            event = {"user_id": f"reader-{number}", "item_id": article["item_id"], "timestamp": at_s}
            events.append(event | {"event_id": f"read-{number}-{turn}", "type": "click"})
            seconds = source.randrange(5, 240)
            if seconds > 60:
                events.append(event | {"event_id": f"stay-{number}-{turn}", "type": "dwell", "value": seconds})
    return events


def main() -> None:
    """Send one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("publish", "readers"))
    what = parser.parse_args().what
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    with httpx.Client(base_url=os.environ["URL"], headers=headers, timeout=30) as api:
        if what == "publish":
            answer = api.post("/v1/items:import", json=articles(time.time()))
        else:
            events = readers(time.time())
            sent = [api.post("/v1/events", json=events[at : at + 500]) for at in range(0, len(events), 500)]
            answer = sent[-1]
        print(answer.raise_for_status().text)


if __name__ == "__main__":
    main()
