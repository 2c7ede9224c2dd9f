"""From tokens to text deltas: whole characters only, and nothing that may yet turn out to be a stop string."""

from __future__ import annotations

from typing import Any


class Detokenizer:
    """The text of one stream as it grows."""

    def __init__(self, tokenizer: Any, context: list[int], stop: tuple[str, ...]) -> None:
        """`context` are the last tokens of the prompt: what a token looks like may depend on those before it."""
        self._tokenizer = tokenizer
        self._tokens = list(context[-4:])
        self._before = self._decode(self._tokens)
        self._stop = tuple(text for text in stop if text)
        self._text = ""
        self._sent = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """Take one token; what can be shown now."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith("�"):
            return ""
        self._text += text[len(self._before) :]
        if len(self._tokens) > 24:
            self._tokens = self._tokens[-8:]
            text = self._decode(self._tokens)
        self._before = text
        found = [place for stop in self._stop if (place := self._text.find(stop)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self.stopped = True
            return self.flush()
        return self._show(len(self._text) - self._held())

    def flush(self) -> str:
        """All that is left."""
        return self._show(len(self._text))

    def _show(self, upto: int) -> str:
        delta = self._text[self._sent : max(upto, self._sent)]
        self._sent += len(delta)
        return delta

    def _held(self) -> int:
        longest = 0
        for stop in self._stop:
            for size in range(min(len(stop) - 1, len(self._text)), longest, -1):
                if self._text.endswith(stop[:size]):
                    longest = size
                    break
        return longest

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
