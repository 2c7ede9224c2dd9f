"""Moods in everyday words, and the categories that they ask for. A small lexicon, and no more is claimed for it.

An encoder would know more words, but the ingress loads no model, and a wrong category does more harm than a word that
is not understood. A mood counts only where the catalogue has one of its categories; a category's own name goes before.
"""

from __future__ import annotations

from collections.abc import Mapping

_MOODS: Mapping[str, str] = {
    "comedy": "funny funnier hilarious humorous humor humour laugh laughs amusing silly witty lighthearted jokes",
    "horror": "scary scarier scares frightening terrifying creepy spooky eerie horrifying zombies vampires monsters",
    "romance": "romantic romances date-night",
    "drama": "sad touching emotional serious tearjerker heartbreaking poignant",
    "thriller": "tense suspenseful suspense gripping thrilling edge-of-the-seat nerve-racking",
    "action": "exciting explosive fast-paced action-packed explosions fights chases violent violence",
    "adventure": "adventurous quest epic treasure",
    "sci-fi, science fiction": "space futuristic future aliens robots spaceship spaceships time-travel",
    "fantasy": "magic magical wizards dragons fairies enchanted",
    "animation": "animated cartoon cartoons anime",
    "children's, children, family": "kids kid family family-friendly child toddlers",
    "musical, music": "songs singing dancing sing-along",
    "mystery": "mysterious whodunit puzzling detective detectives",
    "crime": "gangster gangsters mafia heist criminals murder",
    "war": "soldiers battle battles military army",
    "western": "cowboy cowboys frontier gunslingers",
    "documentary": "factual educational informative true-story",
    "film-noir, noir": "noirish noir",
}
"""For alternative spellings of a category, the words that ask for it."""


def moods_of(categories: Mapping[str, str]) -> dict[str, str]:
    """For each mood word, the category of this catalogue that it asks for.

    Args:
        categories: names of the catalogue's categories by their lower-case form.
    """
    known: dict[str, str] = {}
    for names, words in _MOODS.items():
        category = next((categories[name] for name in names.split(", ") if name in categories), None)
        if category is not None:
            known |= dict.fromkeys(words.split(), category)
    return known
