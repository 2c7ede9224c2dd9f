"""The decode loop on a model that is a hash: every text depends on all of its tokens, so a mixed-up row shows."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from cluster.errors import DeadlineError, EngineError
from generation.engines.base import Chunk, EngineCounts
from generation.engines.constrain import Constrainer
from generation.engines.decode import Batch, Part, Sequence
from generation.engines.prefixes import PIECE
from generation.engines.sampling import Sampler
from generation.engines.text import Detokenizer
from generation.lexicon import Lexicon, Vocabulary

END = 0
VOCABULARY = 200
ROOM = 100


class Hash:
    """A `Backend` whose keys are the tokens themselves. The next token is a function of all before it."""

    tokens = ROOM
    per_token_bytes = 1

    def __init__(self, rows: int) -> None:
        self.rows = [[-1] * ROOM for _ in range(rows)]
        self.calls: list[list[Part]] = []

    def step(self, parts: list[Part]) -> np.ndarray:
        assert len({part.row for part in parts}) == len(parts) and all(part.tokens for part in parts)
        self.calls.append(parts)
        logits = []
        for row, start, tokens in parts:
            self.rows[row][start : start + len(tokens)] = tokens
            known = self.rows[row][: start + len(tokens)]
            assert -1 not in known and len(self.rows[row]) == ROOM
            logits.append(np.random.default_rng(known).random(VOCABULARY, np.float32))
            logits[-1][END] = 0.0
        return np.stack(logits)

    def move(self, source: int, target: int, length: int) -> None:
        self.rows[target][:length] = self.rows[source][:length]

    def save(self, row: int, length: int) -> list[int]:
        return self.rows[row][:length]

    def load(self, row: int, saved: list[int]) -> None:
        self.rows[row][: len(saved)] = saved


class Letters:
    """A tokenizer of single letters."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(char) for char in text]

    def decode(self, tokens: list[int], **_: object) -> str:
        return "".join(chr(token) for token in tokens)


class Text:
    """A text in work, and what came of it."""

    def __init__(self, prompt: list[int], shared: int, max_tokens: int, lexicon: Lexicon | None = None) -> None:
        walk = Constrainer(Letters(), frozenset((END,))).walk(lexicon, "a") if lexicon else None
        self.pieces: list[Chunk | Exception] = []
        self.sequence = Sequence(
            prompt=prompt,
            shared=shared,
            max_tokens=max_tokens,
            sampler=Sampler(0.0, 1.0, 1, walk, max_tokens),
            detokenizer=Detokenizer(Letters(), prompt, ()),
            emit=self.pieces.append,
            deadline=time.monotonic() + 100,
        )

    @property
    def text(self) -> str:
        assert isinstance(self.pieces[-1], Chunk) and self.pieces[-1].finish_reason is not None
        return "".join(piece.text for piece in self.pieces if isinstance(piece, Chunk))


def batch(rows: int, prefix_bytes: int = 1000, chunk_tokens: int = 8) -> tuple[Batch, Hash]:
    backend = Hash(rows)
    made = Batch(
        backend,
        frozenset((END,)),
        EngineCounts(),
        max_batch=rows,
        chunk_tokens=chunk_tokens,
        prefix_bytes=prefix_bytes,
    )
    return made, backend


def run(made: Batch, texts: list[Text]) -> None:
    made.waiting.extend(text.sequence for text in texts)
    for _ in range(2000):
        if made.idle:
            return
        made.step()
    raise AssertionError("it does not end")


def any_texts(source: random.Random, n: int) -> list[Text]:
    beginnings = [[source.randrange(1, 100) for _ in range(length)] for length in (5, 17, 20)]
    beginnings.append([*beginnings[1][:9], 3, 4, 5, 6])
    texts = []
    for _ in range(n):
        beginning = source.choice([*beginnings, []])
        prompt = [*beginning, *(source.randrange(1, 100) for _ in range(source.randrange(1, 20)))]
        texts.append(Text(prompt, len(beginning), source.randrange(1, 30)))
    return texts


@pytest.mark.parametrize("seed", range(20))
def test_a_text_is_the_same_alone_and_in_any_company(seed: int) -> None:
    for rows, prefix_bytes in ((4, 1000), (3, 30), (2, 0)):
        together = any_texts(random.Random(seed), 12)
        made, _ = batch(rows, prefix_bytes, chunk_tokens=random.Random(seed).choice((4, 16, 64)))
        run(made, together)
        for one, other in zip(together, any_texts(random.Random(seed), 12), strict=True):
            run(batch(1, 0)[0], [other])
            assert one.text == other.text


def test_those_who_leave_harm_nobody_and_free_their_row_in_one_step() -> None:
    source = random.Random(1)
    texts = any_texts(source, 9)
    made, _ = batch(3)
    made.waiting.extend(text.sequence for text in texts)
    gone = set()
    while not made.idle:
        made.step()
        if made.running and source.random() < 0.3:
            left = source.choice(made.running)
            left.cancelled = True
            gone.add(id(left))
            made.step()
            assert left not in made.running
    for text, other in zip(texts, any_texts(random.Random(1), 9), strict=True):
        if id(text.sequence) in gone:
            assert isinstance(text.pieces[-1], EngineError)
        else:
            run(batch(1)[0], [other])
            assert text.text == other.text


def test_all_prompts_are_read_in_one_call_and_a_new_beginning_once() -> None:
    made, backend = batch(4, chunk_tokens=64)
    made._token_s = 1e-6
    beginning = list(range(1, 21))
    run(made, [Text([*beginning, 30 + n, 31], 20, 4) for n in range(4)])
    assert [len(parts) for parts in backend.calls[:2]] == [1, 4]
    assert made._counts.prefix_tokens == 3 * 20


def test_a_slow_model_reads_less_in_a_step() -> None:
    made, backend = batch(1, chunk_tokens=256)
    made._learn(100, 100 * 0.001)
    assert made._chunk() == 60
    made._learn(100, 100 * 1.0)
    assert made._chunk() == PIECE
    run(made, [Text(list(range(1, 91)), 0, 1)])
    assert [len(parts[0].tokens) for parts in backend.calls] == [PIECE, PIECE, 90 - 2 * PIECE]


@pytest.mark.parametrize("seed", range(10))
def test_prompts_are_divided_at_the_same_places_whatever_a_step_may_read(seed: int) -> None:
    source = random.Random(seed)
    texts = [Text([source.randrange(1, 100) for _ in range(n)], n // 3, 5) for n in (90, 70, 40, 33)]
    made, backend = batch(3, chunk_tokens=source.choice((40, 64, 100, 200)))
    made._token_s = 1e-6
    run(made, texts)
    allowed = {len(text.sequence.prompt) for text in texts} | {text.sequence.shared for text in texts}
    for parts in backend.calls:
        for _, start, tokens in parts:
            assert len(tokens) == 1 or (start + len(tokens)) % PIECE == 0 or start + len(tokens) in allowed


def test_a_deadline_ends_a_text_that_waits() -> None:
    made, _ = batch(1)
    first, late = Text([1, 2], 0, 20), Text([1, 2], 0, 20)
    late.sequence.deadline = 0.0
    run(made, [first, late])
    assert first.text and isinstance(late.pieces[-1], DeadlineError)


def test_tokens_without_a_choice_change_no_text_and_save_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = Lexicon(Vocabulary(frozenset(("lovely", "sea", "calm")), frozenset(("It",))), names=("Babe",))
    made, backend = batch(1)
    fast = Text([7, 8, 9], 0, 30, lexicon)
    run(made, [fast])
    monkeypatch.setattr(Sampler, "forced", lambda _: None)
    slow_made, slow_backend = batch(1)
    slow = Text([7, 8, 9], 0, 30, lexicon)
    run(slow_made, [slow])
    assert fast.text == slow.text and len(backend.calls) < len(slow_backend.calls)
    assert made._counts.forced_tokens == len(slow_backend.calls) - len(backend.calls)
