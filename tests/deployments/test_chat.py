"""The chat route on a whole ingress: what retrieval finds reaches the writer, errors come in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from ray.exceptions import RayTaskError

from cluster.errors import InputError
from cluster.messages import EngineInfo, TextDone, TextPiece, WriteTask
from deployments.services import Services

App = tuple[httpx.AsyncClient, Services]


class Notes:
    """A writer that names all items of its task, says what it is told to say, or fails."""

    def __init__(self) -> None:
        self.tasks: list[WriteTask] = []
        self.error: Exception | None = None
        self.text: str | None = None

    async def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]:
        self.tasks.append(task)
        if self.error is not None:
            raise self.error
        text = self.text or f"You could try {', '.join(item.title for item in task.items)}."
        yield TextPiece(text)
        yield TextDone(text, "generated", "m", "p", completion_tokens=3)

    async def info(self, timeout_s: float = 5.0) -> EngineInfo:
        return EngineInfo("e", "m", "nf4", 1, "cpu", 1)


@pytest.fixture
def writer(app: App) -> Notes:
    notes = Notes()
    app[1].writer._writer = notes
    return notes


async def ask(app: App, *texts: str, **more: Any) -> httpx.Response:
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return await app[0].post("/v1/chat/completions", json={"messages": messages, **more})


async def test_retrieved_items_and_only_they_reach_the_writer(app: App, writer: Notes) -> None:
    answer = (await ask(app, "something like Noise 3, just two")).json()
    task = writer.tasks[-1]
    ids = answer["tailorbird"]["item_ids"]
    assert [item.item_id for item in task.items] == ids and len(ids) == 2 and "loud/3" not in ids
    assert task.liked == () and task.kind == "chat"
    assert all(one.startswith("loud/") for one in ids)


@pytest.mark.parametrize("body", [b"{", b'{"messages": "\xff"}', b"[" * 100_000, b"[]"])
async def test_what_is_wrong_as_a_whole_names_no_parameter(app: App, body: bytes) -> None:
    error = (await app[0].post("/v1/chat/completions", content=body)).json()["error"]
    assert error["param"] is None and ("not JSON" in error["message"] or body == b"[]")


async def test_a_question_about_an_item_is_about_that_item(app: App, writer: Notes) -> None:
    said = (await ask(app, "something ambient")).json()
    ids = said["tailorbird"]["item_ids"]
    assert all(one.startswith("静-") for one in ids)
    text = said["choices"][0]["message"]["content"]
    again = (await ask(app, "something ambient", text, "why the second one?")).json()
    assert again["tailorbird"]["item_ids"] == [ids[1]]
    assert writer.tasks[-1].kind == "reason" and writer.tasks[-1].messages == ()


@pytest.mark.parametrize(
    ("text", "given", "most"),
    [("five films", {}, 384), ("推荐五部电影", {}, 1152), ("推荐五部电影", {"max_tokens": 20}, 20)],
)
async def test_a_chinese_answer_may_take_more_tokens(
    app: App, writer: Notes, text: str, given: dict[str, int], most: int
) -> None:
    await ask(app, text, **given)
    assert writer.tasks[-1].max_tokens == most


async def test_n_answers_have_seeds_of_their_own(app: App, writer: Notes) -> None:
    answer = (await ask(app, "something ambient", n=3, seed=5)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert sorted(task.seed for task in writer.tasks) == [5, 6, 7]  # type: ignore[type-var]
    assert answer["usage"]["completion_tokens"] == 9
    texts = answer["tailorbird"]["texts"]
    assert len(texts) == 3 and all(text["guard"]["rules"] == [] and text["model"] for text in texts)
    assert all({"source", "prompt_version", "facts"} <= set(text) for text in texts)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dialogue_that_no_model_takes_is_a_422_in_openais_form(app: App, writer: Notes, stream: bool) -> None:
    from tests.deployments.test_writing import client

    app[1].writer._writer = client(RayTaskError("write", "traceback", InputError("is too long", "messages")))
    answer = await ask(app, "something ambient", stream=stream)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (
        error["type"] == "invalid_request_error" and "too long" in error["message"] and "traceback" not in answer.text
    )


class Meaning:
    """A Finder that knows one thing."""

    def __init__(self, *found: tuple[str, float]) -> None:
        self.found, self.asked = list(found), list[str]()

    async def search(self, tenant: str, text: str, n: int) -> list[tuple[str, float]]:
        self.asked.append(text)
        return self.found


async def test_a_chat_finds_by_meaning_within_what_else_is_asked_for(
    app: App, writer: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ids_for(text: str) -> list[str]:
        ids: list[str] = (await ask(app, text)).json()["tailorbird"]["item_ids"]
        return ids

    meaning = Meaning(("静-7", 0.7), ("loud/5", 0.69), ("gone", 0.68))
    monkeypatch.setattr(app[1], "finder", meaning)
    usual = await ids_for("what should I hear next?")
    assert not meaning.asked and not {"静-7", "loud/5"} & set(usual)
    meant = await ids_for("something for gentle waterfalls")
    assert meaning.asked == ["gentle waterfalls"]
    assert set(meant[:2]) == {"静-7", "loud/5"} and meant[2] in usual
    rock = await ids_for("rock for gentle waterfalls")
    assert rock[0] == "loud/5" and "静-7" not in rock
    meaning.found = []
    assert await ids_for("something for gentle waterfalls") == usual


async def test_a_question_about_a_fact_is_answered_by_the_catalogue(app: App, writer: Notes) -> None:
    answer = (await ask(app, "When was Noise 3 released?")).json()
    assert answer["choices"][0]["message"]["content"] == "Year: 1983. You could try Noise 3."
    assert answer["tailorbird"]["item_ids"] == ["loud/3"]
    unknown = (await ask(app, "Who directed Noise 3?")).json()["choices"][0]["message"]["content"]
    assert unknown.startswith("The catalogue does not say. ")
    assert "目录里没有写。" in (await ask(app, "Noise 3的导演是谁？")).json()["choices"][0]["message"]["content"]


async def test_the_fact_before_a_text_is_streamed_and_ends_where_the_client_says(app: App, writer: Notes) -> None:
    streamed = (await ask(app, "When was Noise 3 released?", stream=True)).text
    pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    text = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert text == "Year: 1983. You could try Noise 3."
    stopped = (await ask(app, "When was Noise 3 released?", stop="1983")).json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("Year: ", "stop")
    short = (await ask(app, "When was Noise 3 released?", max_tokens=2)).json()["choices"][0]
    assert (short["message"]["content"], short["finish_reason"]) == ("Year:", "length")
    across = (await ask(app, "When was Noise 3 released?", stop=". You")).json()["choices"][0]
    assert across["message"]["content"] == "Year: 1983"


async def test_years_that_are_refused_are_not_shown(app: App, writer: Notes) -> None:
    answer = (await ask(app, "five picks, nothing older than 1990")).json()
    assert len(answer["tailorbird"]["item_ids"]) == 5
    assert all(one.startswith("loud/1") for one in answer["tailorbird"]["item_ids"])
