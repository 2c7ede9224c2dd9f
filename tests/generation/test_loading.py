"""A model that the engine would compute wrongly is refused when it is loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from generation.engines.loading import check


class Template:
    """A tokenizer whose chat template takes a system message, raises for one, or leaves it out."""

    def __init__(self, system: str) -> None:
        self.system = system

    def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
        if self.system == "raises":
            raise RuntimeError("System role not supported")
        return " ".join(one["content"] for one in messages[self.system == "left out" :])


PLAIN = {"max_position_embeddings": 8192}


@pytest.mark.parametrize(
    ("config", "system", "what"),
    [
        ({"sliding_window": 4096}, "taken", "sliding window"),
        ({"attn_logit_softcapping": 50.0}, "taken", "soft caps"),
        ({}, "raises", "takes no system message"),
        ({}, "left out", "leaves out"),
    ],
)
def test_what_is_not_computed_is_refused(config: dict[str, float], system: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check(SimpleNamespace(**PLAIN, **config), Template(system))


def test_a_window_that_is_off_or_wider_than_the_context_is_none() -> None:
    for config in ({}, {"sliding_window": None}, {"sliding_window": 99, "use_sliding_window": False}):
        check(SimpleNamespace(**PLAIN, **config), Template("taken"))
    check(SimpleNamespace(**PLAIN, sliding_window=8192), Template("taken"))
