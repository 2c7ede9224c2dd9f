"""OpenAI's own Python client works unchanged against `/v1`."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration


@pytest.fixture
def client(server: Copy) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        yield client


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tailorbird"]
    assert client.models.retrieve("tailorbird").id == "tailorbird"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-none")


def test_a_whole_answer_with_the_items_beside_it(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "I liked Alien. A comedy for tonight?"}]
    answer = client.chat.completions.create(model="tailorbird", user="42", messages=messages)  # type: ignore[call-overload]
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(answer.model_extra["tailorbird"]["item_ids"]) == 3


def test_a_streamed_answer_joins_to_text_and_ends(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tailorbird",
        messages=[{"role": "user", "content": "Something like Star Wars?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) >= 3
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert len(finishes) == 1
    assert chunks[-1].usage is not None and not chunks[-1].choices


def test_errors_are_openais(client: openai.OpenAI, server: Copy) -> None:
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="tailorbird", messages=[])
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="tailorbird", messages=[{"role": "system", "content": "x"}])
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()
