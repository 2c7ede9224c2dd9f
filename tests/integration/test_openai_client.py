"""OpenAI's own Python client works unchanged against `/v1`."""

from __future__ import annotations

import openai
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration


def test_models(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["tailorbird"]
    assert openai_client.models.retrieve("tailorbird").id == "tailorbird"
    with pytest.raises(openai.NotFoundError) as refused:
        openai_client.models.retrieve("gpt-none")
    assert refused.value.code == "model_not_found"


def test_a_whole_answer_with_the_items_beside_it(openai_client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "I liked Alien. A comedy for tonight?"}]
    answer = openai_client.chat.completions.create(model="tailorbird", user="42", messages=messages)  # type: ignore[call-overload]
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(answer.model_extra["tailorbird"]["item_ids"]) == 3


def test_a_streamed_answer_joins_to_text_and_ends(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
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


def test_errors_are_openais(openai_client: openai.OpenAI, server: Copy) -> None:
    with pytest.raises(openai.UnprocessableEntityError):
        openai_client.chat.completions.create(model="tailorbird", messages=[])
    with pytest.raises(openai.UnprocessableEntityError):
        openai_client.chat.completions.create(model="tailorbird", messages=[{"role": "system", "content": "x"}])
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()
