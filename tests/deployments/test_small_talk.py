"""What asks for nothing is answered as such, and nothing else is."""

from __future__ import annotations

import pytest

from deployments.chat.small_talk import language_of, small_talk


@pytest.mark.parametrize(
    "text",
    [
        "Thanks!",
        "ok, thank you so much",
        "Great, thanks. Bye!",
        "谢谢，再见",
        "That's all, thanks",
        "谢谢你的推荐",
        "thanks, that was great",
    ],
)
def test_thanks(text: str) -> None:
    reply = small_talk(text, language_of(text))
    assert reply is not None
    piece, done = reply
    assert piece.text == done.text and done.source == "template"
    assert ("welcome" in done.text) == (language_of(text) == "en")


@pytest.mark.parametrize(
    "text", ["What can you do?", "hi, who are you?", "help", "你能做什么？", "hello, what can you do for me?"]
)
def test_help(text: str) -> None:
    reply = small_talk(text, "en")
    assert reply is not None and "recommend" in reply[1].text


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "ok",
        "thanks, and a comedy please",
        "help me find a thriller",
        "good films",
        "goodbye lenin",
        "no",
        "好看的",
    ],
)
def test_what_may_ask_for_something_is_left_alone(text: str) -> None:
    assert small_talk(text, "en") is None


def test_the_language_is_that_of_the_message() -> None:
    assert [language_of(text) for text in ("a comedy", "喜剧", "今晚看一部 thriller", "コメディ")] == [
        "en",
        "zh",
        "zh",
        "en",
    ]


def test_small_talk_keeps_to_what_the_client_allows() -> None:
    whole, short, stopped = (
        small_talk("thanks", "en"),
        small_talk("thanks", "en", max_tokens=3),
        small_talk("谢谢", "zh", stop=("，",)),
    )
    assert whole and short and stopped
    assert whole[1].finish_reason == "stop" and whole[1].text.endswith(".")
    assert (short[1].text, short[1].finish_reason) == ("You are", "length")
    assert short[0].text == short[1].text
    assert (stopped[1].text, stopped[1].finish_reason) == ("不客气", "stop")
