"""The reference of the API is whole and up to date, and its document reads well."""

from __future__ import annotations

import re

import pytest

from deployments.example import Example
from deployments.examples import EXAMPLES
from deployments.http_app import routed_app
from deployments.openapi import TAGS
from tests.docs.api import PAGE, examples_of, operations, page
from tests.docs.curl import command, covers

DOCUMENT = routed_app().openapi()


def test_the_page_says_what_the_document_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "out of date: run `make docs`"


def test_every_route_has_an_example_and_every_tag_its_words() -> None:
    assert len(list(operations(DOCUMENT))) > 35
    assert [(method, path) for method, path, _ in operations(DOCUMENT) if not examples_of(method, path)] == []
    used = {tag for _, _, operation in operations(DOCUMENT) for tag in operation["tags"]}
    assert used == TAGS.keys() == EXAMPLES.keys()


def test_operations_fields_and_parameters_are_described() -> None:
    names = [operation["operationId"] for _, _, operation in operations(DOCUMENT)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(DOCUMENT):
        assert 5 < len(operation["summary"]) < 110, (method, path, operation["summary"])
        assert (
            not re.search(r"\bPost\b|\bGet\b|_", operation["summary"].replace("_id`", ""))
            or "`" in operation["summary"]
        )
        bare = [one["name"] for one in operation.get("parameters", []) if not one.get("description")]
        assert bare == [], (method, path)
    schemas = DOCUMENT["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, said in schema.get("properties", {}).items()
        if not said.get("description")
    ]
    assert bare == []


def test_answers_have_schemas() -> None:
    for method, path, operation in operations(DOCUMENT):
        for status, said in operation["responses"].items():
            if status.startswith("2") and "application/json" in said.get("content", {}):
                assert said["content"]["application/json"]["schema"], (method, path, status)


@pytest.mark.parametrize(
    ("sample", "actual", "faults"),
    [
        ({"a": 1}, {"a": 2.5, "b": None}, 0),
        ({"a": 1, "b": "x"}, {"a": "1"}, 2),
        ([{"a": True}], [{"a": False}, {}], 0),
        ([{"a": True}], [], 1),
        ({"a": True}, {"a": 1}, 1),
        ("x", None, 1),
    ],
)
def test_a_sample_covers_an_answer_of_its_names_and_types(sample: object, actual: object, faults: int) -> None:
    assert len(covers(sample, actual)) == faults


def test_commands_are_whole() -> None:
    shown = command(Example("", "PUT", "/v1/items/{item_id}", ids={"item_id": "a/$ID"}, body={"t": "$ID"}))
    assert shown == """curl -X PUT "$URL/v1/items/a/$ID" -H "Authorization: Bearer $KEY" -d '{"t": "'$ID'"}'"""
    shown = command(Example("", "GET", "/v1/items", query={"filter": 'a == "b"', "limit": 2}))
    assert "-G" in shown and "--data-urlencode 'filter=a == \"b\"'" in shown and "-d limit=2" in shown
