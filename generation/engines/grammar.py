"""A lexicon as a grammar in the notation of XGrammar: one sentence of known words that ends where a sentence may.

It holds what `constrain.Walk` holds of words: only those of the lexicon, names letter by letter, no clause that ends
after a weak word or within "a lovely". What needs a memory (no content word twice, an end in time) it cannot say.
Words are tries of letters, so that the engine follows few alternatives at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from generation.lexicon import ARTICLES, Lexicon, Phrases, Vocabulary, joined, words_of

JOINS = frozenset(("and", "or"))
_END = ""


def grammar_of(lexicon: Lexicon | Phrases, begun: str) -> str:
    """The grammar of what may come after `begun`, which is empty or stands inside a sentence."""
    if isinstance(lexicon, Phrases):
        return _phrase_rules(lexicon)
    vocabulary = lexicon.vocabulary
    names = trie_rules("name", lexicon.names) if lexicon.names else ""
    own = trie_rules("own", _plain(lexicon.words, vocabulary))
    name, extra = (' | " " name s' if names else ""), (' | " " own s' if own else "")
    start = "a" if _within_article(begun, vocabulary) else "x"
    rules = [
        f"root ::= {start}" if begun.strip() else "root ::= starter s" + (" | name s" if names else ""),
        's ::= "." | [,;] x | x',
        f'x ::= " " article a | " " weak x | " " joins x | " " modifier s | " " other s{extra}{name}',
        f'a ::= " " article a | " " joins a | " " modifier a | " " weak x | " " other s{extra}{name}',
        _shared_rules(vocabulary),
        own,
        names,
    ]
    return "\n".join(rule for rule in rules if rule)


def _phrase_rules(phrases: Phrases) -> str:
    def place(alternatives: tuple[str, ...]) -> str:
        return f"({' | '.join(json.dumps(joined(phrase), ensure_ascii=False) for phrase in alternatives)})"

    ways = [" ".join(map(place, pattern)) for pattern in phrases.patterns]
    return "\n".join(
        [
            f"root ::= {' | '.join(f'p{n}' for n in range(len(ways)))}",
            *(f"p{n} ::= {way}" for n, way in enumerate(ways)),
        ]
    )


@lru_cache(maxsize=8)
def _shared_rules(vocabulary: Vocabulary) -> str:
    words = vocabulary.words
    kinds = {
        "article": words & ARTICLES,
        "joins": words & JOINS,
        "weak": (words & vocabulary.weak) - ARTICLES - JOINS,
        "modifier": (words & vocabulary.modifiers) - vocabulary.weak,
        "other": words - vocabulary.weak - vocabulary.modifiers - ARTICLES - JOINS,
        "starter": vocabulary.starters,
    }
    return "\n".join(trie_rules(kind, entries) for kind, entries in kinds.items())


def trie_rules(name: str, words: Iterable[str]) -> str:
    """Rules by which `name` is any of these words; empty for no words."""
    root: dict[str, Any] = {}
    for word in sorted(words):
        node = root
        for letter in word:
            node = node.setdefault(letter, {})
        node[_END] = {}
    if not root:
        return ""
    rules: list[str] = []
    _emit(root, name, rules)
    return "\n".join(rules)


def _emit(node: dict[str, Any], name: str, rules: list[str]) -> None:
    place = len(rules)
    rules.append("")
    alternatives = []
    for letter, after in node.items():
        if letter == _END:
            alternatives.append('""')
            continue
        letters = letter
        while len(after) == 1 and _END not in after:
            ((letter, after),) = after.items()
            letters += letter
        literal = json.dumps(letters, ensure_ascii=False)
        if list(after) == [_END]:
            alternatives.append(literal)
        else:
            child = f"{name.split('-')[0]}-{len(rules)}"
            _emit(after, child, rules)
            alternatives.append(f"{literal} {child}")
    rules[place] = f"{name} ::= {' | '.join(alternatives)}"


def _plain(words: Iterable[str], vocabulary: Vocabulary) -> set[str]:
    return set(words) - vocabulary.words


def _within_article(begun: str, vocabulary: Vocabulary) -> bool:
    """Whether a text ends after an article, or after words that only lead on from one."""
    within = False
    for word in words_of(begun.lower()):
        within = word in ARTICLES or (within and (word in vocabulary.modifiers or word in JOINS))
    return within
