"""Examples of the API, one or more for each route, in the order in which they can be run against the demo.

The OpenAPI document carries them, docs/api.md shows them as curl commands with a part of the answer, and a test runs
them against a running copy. `$NAME` in a value stands for something that the answer before held (`keeps`).
"""

from __future__ import annotations

from deployments.admin_examples import ADMINISTRATION, RULES
from deployments.example import Example

_ALIEN, _STAR_WARS = "183", "50"
_LAMP = {"title": "Harbour Lamp", "categories": ["Lamps"], "attributes": {"year": 2026, "price": 49.5}}

EVENTS = (
    Example(
        "One event",
        "POST",
        "/v1/events",
        body={"event_id": "e-1001", "user_id": "ada", "item_id": _ALIEN, "type": "like"},
        status=202,
        answer={"accepted": 1, "duplicate": 0, "rejected": []},
    ),
    Example(
        "Several, one of them bad: the good ones count",
        "POST",
        "/v1/events",
        body={
            "events": [
                {"user_id": "ada", "item_id": _STAR_WARS, "type": "rating", "value": 5},
                {"user_id": "ada", "item_id": "172", "type": "click", "timestamp": "yesterday"},
            ]
        },
        status=202,
        answer={"accepted": 1, "duplicate": 0, "rejected": [{"loc": ["events", 1, "timestamp"], "msg": "..."}]},
    ),
)

RECOMMENDATIONS = (
    Example(
        "A person's list, with titles and reasons",
        "POST",
        "/v1/recommendations",
        body={"user_id": "42", "n": 3, "include": ["title"]},
        answer={
            "recommendation_id": "...",
            "model_version": "...",
            "degraded": False,
            "items": [
                {
                    "item_id": "174",
                    "score": 4.1,
                    "source": "graph",
                    "reasons": [{"kind": "because_liked", "weight": 0.9}],
                    "item": {"title": "..."},
                }
            ],
        },
        keeps={"LIST": "recommendation_id"},
    ),
    Example(
        "The next page of that list",
        "POST",
        "/v1/recommendations",
        body={"recommendation_id": "$LIST", "n": 3},
        answer={"recommendation_id": "...", "items": [{"item_id": "..."}]},
    ),
    Example(
        "An anonymous visitor, only what a filter lets through",
        "POST",
        "/v1/recommendations",
        body={
            "session": [{"item_id": _ALIEN, "type": "like"}, {"item_id": _STAR_WARS, "type": "click"}],
            "filter": 'genre == "Comedy" and year >= 1990',
            "diversity": 0.3,
            "n": 3,
        },
        answer={"items": [{"item_id": "...", "score": 1.2}]},
    ),
    Example(
        "Rules for one list, and a place in five drawn among items of which little is known",
        "POST",
        "/v1/recommendations",
        body={
            "user_id": "42",
            "rules": [
                {"kind": "pin", "item_id": "258", "position": 2},
                {"kind": "bury", "filter": "year < 1980", "factor": 5},
                {"kind": "cap", "filter": 'genre == "Drama"', "max_items": 1},
            ],
            "explore": 0.2,
            "seed": 7,
            "n": 5,
        },
        answer={"items": [{"item_id": "...", "score": 1.2}]},
    ),
    Example(
        "Why, as a path through the graph",
        "POST",
        "/v1/recommendations",
        body={"user_id": "42", "explain": "path", "n": 2},
        answer={"items": [{"path": [{"kind": "you"}, {"kind": "item", "item_id": "..."}]}]},
    ),
    Example(
        "The same as an address",
        "GET",
        "/v1/recommendations",
        query={"user_id": "42", "n": 3},
        answer={"items": [{"item_id": "...", "item": {"title": "..."}}]},
    ),
    Example(
        "Items like one",
        "GET",
        "/v1/similar",
        query={"item_id": _STAR_WARS, "n": 3},
        answer={"items": [{"item_id": "..."}]},
    ),
    Example("What is popular", "GET", "/v1/popular", query={"n": 3}, answer={"items": [{"item_id": "..."}]}),
    Example(
        "What is new", "GET", "/v1/latest", query={"n": 3}, answer={"items": [{"item_id": "...", "source": "..."}]}
    ),
)

CONTENT = (
    Example(
        "A pitch, whole",
        "POST",
        "/v1/content",
        body={"kind": "pitch", "user_id": "42", "item_id": _STAR_WARS},
        answer={
            "content_id": "...",
            "text": "...",
            "source": "generated",
            "facts": {"title": "..."},
            "guard": {"passed": True, "rules": []},
            "usage": {"total_tokens": 311},
        },
        keeps={"TEXT": "content_id"},
    ),
    Example(
        "A reason, clause by clause",
        "POST",
        "/v1/content",
        body={"kind": "reason", "user_id": "42", "item_id": _ALIEN, "stream": True},
        answer=["event: start", "event: text", "event: done"],
        is_stream=True,
    ),
)

CHAT = (
    Example(
        "A question; the ids of the items come beside the text",
        "POST",
        "/v1/chat/completions",
        body={
            "model": "tailorbird",
            "user": "42",
            "messages": [{"role": "user", "content": "A funny film for tonight?"}],
        },
        answer={
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "..."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 402, "completion_tokens": 37, "total_tokens": 439},
            "tailorbird": {"item_ids": ["..."], "source": "generated"},
        },
    ),
    Example(
        "Streamed",
        "POST",
        "/v1/chat/completions",
        body={
            "model": "tailorbird",
            "messages": [{"role": "user", "content": "Something like Alien?"}],
            "stream": True,
        },
        answer=["data: {", "data: [DONE]"],
        is_stream=True,
    ),
    Example(
        "What answers",
        "GET",
        "/v1/models",
        answer={"object": "list", "data": [{"id": "tailorbird", "engine": "openvino", "model_version": "..."}]},
    ),
    Example("One model", "GET", "/v1/models/{model}", ids={"model": "tailorbird"}, answer={"id": "tailorbird"}),
)

FEEDBACK = (
    Example(
        "A thumb up for a text",
        "POST",
        "/v1/feedback",
        body={"user_id": "42", "content_id": "$TEXT", "verdict": "up", "text": "Short and true."},
        status=201,
        answer={"feedback_id": "..."},
    ),
)

CATALOGUE = (
    Example(
        "Store an item",
        "PUT",
        "/v1/items/{item_id}",
        ids={"item_id": "lamps/harbour"},
        body=_LAMP,
        answer={"item_id": "lamps/harbour", "title": "Harbour Lamp", "updated_at": "..."},
    ),
    Example(
        "Read it",
        "GET",
        "/v1/items/{item_id}",
        ids={"item_id": "lamps/harbour"},
        answer={"title": "Harbour Lamp", "attributes": {"price": 49.5}},
    ),
    Example(
        "Change its price and take its year away",
        "PATCH",
        "/v1/items/{item_id}",
        ids={"item_id": "lamps/harbour"},
        body={"attributes": {"price": 39, "year": None}},
        answer={"attributes": {"price": 39}},
    ),
    Example(
        "Many at once: a JSON array, or JSON Lines",
        "POST",
        "/v1/items:import",
        body=[{"item_id": "lamps/quay", "title": "Quay Lamp"}, {"item_id": "lamps/pier", "titel": "Pier Lamp"}],
        answer={"accepted": 1, "rejected": [{"line": 2, "loc": ["titel"], "msg": "..."}], "rejected_total": 1},
    ),
    Example(
        "A page of the catalogue: comedies of the nineties",
        "GET",
        "/v1/items",
        query={"filter": 'genre == "Comedy" and year >= 1990', "limit": 2},
        answer={"items": [{"item_id": "...", "title": "..."}], "next_cursor": "..."},
    ),
    Example("Delete an item", "DELETE", "/v1/items/{item_id}", ids={"item_id": "lamps/harbour"}, status=204),
    Example("And the other", "DELETE", "/v1/items/{item_id}", ids={"item_id": "lamps/quay"}, status=204),
)

USERS = (
    Example(
        "Store what is known of a person",
        "PUT",
        "/v1/users/{user_id}",
        ids={"user_id": "ada"},
        body={"attributes": {"country": "GB", "plan": "family"}},
        answer={"user_id": "ada", "attributes": {"plan": "family"}},
    ),
    Example("Read it", "GET", "/v1/users/{user_id}", ids={"user_id": "ada"}, answer={"user_id": "ada"}),
    Example(
        "Change a part",
        "PATCH",
        "/v1/users/{user_id}",
        ids={"user_id": "ada"},
        body={"attributes": {"plan": "single"}},
        answer={"attributes": {"country": "GB", "plan": "single"}},
    ),
    Example(
        "Many at once",
        "POST",
        "/v1/users:import",
        body=[{"user_id": "ada", "attributes": {"country": "GB"}}],
        answer={"accepted": 1, "rejected": [], "rejected_total": 0},
    ),
    Example("A page of records", "GET", "/v1/users", query={"limit": 2}, answer={"users": [{"user_id": "..."}]}),
    Example(
        "Everything that is stored of a person, a JSON object on each line",
        "GET",
        "/v1/users:export",
        query={"user_id": "ada"},
        answer=['"kind":"user"', '"kind":"event"'],
        is_stream=True,
    ),
    Example(
        "Erase a person",
        "DELETE",
        "/v1/users/{user_id}",
        ids={"user_id": "ada"},
        status=202,
        answer={"operation_id": "...", "kind": "erase_user", "status": "running"},
        keeps={"OPERATION": "operation_id"},
    ),
    Example(
        "How far that is",
        "GET",
        "/v1/operations/{operation_id}",
        ids={"operation_id": "$OPERATION"},
        answer={"operation_id": "...", "status": "done"},
    ),
)

SESSION = (
    Example(
        "Exchange the key for a session (what browsers do)",
        "POST",
        "/v1/session",
        status=201,
        answer={"subject": "key:bootstrap", "tenant": "default", "scopes": ["admin"], "csrf_token": "..."},
    ),
    Example("Who am I", "GET", "/v1/session", answer={"subject": "key:bootstrap", "scopes": ["admin"]}),
    Example("Sign out", "DELETE", "/v1/session", status=204),
)

OPERATIONS = (
    Example("Does the process answer", "GET", "/healthz/live", answer={"status": "live"}),
    Example("Can it serve", "GET", "/healthz/ready", answer={"status": "ready"}),
    Example("What Prometheus reads", "GET", "/metrics", answer=["tailorbird_http_requests_total"], is_stream=True),
    Example(
        "The whole copy at a glance",
        "GET",
        "/v1/ops",
        answer={"live": "...", "versions": [{"version": "...", "metrics": {}}], "items": 1682},
    ),
    Example(
        "What became of the lists of a week",
        "GET",
        "/v1/ops/outcomes",
        query={"days": 7},
        answer={"days": 7, "source": [], "model_version": [], "content_kind": []},
    ),
    Example(
        "Where items lie",
        "GET",
        "/v1/ops/map",
        query={"n": 10},
        answer={"model_version": "...", "items": [{"item_id": "...", "x": 0.1, "y": -0.4}]},
    ),
)

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "events": EVENTS,
    "recommendations": RECOMMENDATIONS,
    "content": CONTENT,
    "chat": CHAT,
    "feedback": FEEDBACK,
    "catalogue": CATALOGUE,
    "users": USERS,
    "administration": ADMINISTRATION,
    "rules": RULES,
    "session": SESSION,
    "operations": OPERATIONS,
}
"""By tag, in the order in which the document lists the tags."""
