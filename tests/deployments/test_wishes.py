"""What dialogues ask for, on a catalogue whose titles are as awkward as real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.messages import Item, RankedItem, Reason, SessionView
from cluster.store import Store
from deployments.chat.retrieval import ChatRetriever, honest
from deployments.chat.wishes import Wish

ITEMS = [
    Item("alien", "Alien (1979)", categories=("Horror", "Sci-Fi")),
    Item("father", "Godfather, The (1972)", categories=("Crime", "Drama")),
    Item("se7en", "Seven (Se7en) (1995)", categories=("Thriller", "Crime")),
    Item("star", "Star Wars: A New Hope (1977)", categories=("Sci-Fi", "Adventure")),
    Item("speed", "Speed (1994)", categories=("Action", "Thriller")),
    Item("babe", "Babe (1995)", categories=("Comedy", "Children's")),
    Item("if", "If.... (1968)", categories=("Drama",)),
    Item("mars", "Mars Attacks! (1996)", categories=("Comedy", "Sci-Fi")),
    Item("noir", "Laura (1944)", categories=("Film-Noir",)),
    Item("odd", "Odds and Ends (1990)", categories=("A",)),
    Item("psycho", "Psycho (1960)", categories=("Horror", "Thriller")),
]


@pytest.fixture
async def retriever(settings: Settings) -> AsyncIterator[ChatRetriever]:
    with Store.open(settings) as store:
        store.migrate()
        store.items.put(ITEMS)
        catalogue = Catalogue(store)
        await catalogue.refresh()
        yield ChatRetriever(catalogue, "default")


def ask(retriever: ChatRetriever, *turns: str, seen: frozenset[str] = frozenset()) -> Wish:
    """The wish of a dialogue in which both speak in turn."""
    messages = [(("user", "assistant")[place % 2], text) for place, text in enumerate(turns)]
    return retriever.wish(messages, seen)


@pytest.mark.parametrize(
    ("text", "titles", "wanted", "refused"),
    [
        ("something like Alien but funny", ("alien",), ("Comedy",), ()),
        ("something like The Godfather", ("father",), (), ()),
        ("Anything like star wars a new hope?", ("star",), (), ()),
        ("I loved Se7en and Speed", ("se7en", "speed"), (), ()),
        ("I need speed and a western", (), (), ()),
        ("not horror", (), (), ("Horror",)),
        ("nothing scary, something for the kids", (), ("Children's",), ("Horror",)),
        ("not horror but funny", (), ("Comedy",), ("Horror",)),
        ("no horror or crime please", (), (), ("Crime", "Horror")),
        ("a science-fiction or sci-fi film, not too scary", (), ("Sci-Fi",), ("Horror",)),
        ("recommend me a film", (), (), ()),
        ("Comedies!", (), ("Comedy",), ()),
        ("I'd love a film", (), (), ()),
        ("Psycho", ("psycho",), (), ()),
        ("像Alien那样，但要好笑", ("alien",), ("Comedy",), ()),
        ("我想看一部轻松的喜剧", (), ("Comedy",), ()),
        ("不要恐怖片，要科幻", (), ("Sci-Fi",), ("Horror",)),
        ("不要恐怖片、犯罪片", (), (), ("Crime", "Horror")),
        ("别的喜剧", (), ("Comedy",), ()),
        ("今晚看一部 thriller", (), ("Thriller",), ()),
        ("给孩子看的", (), ("Children's",), ()),
        ("有没有好看的科幻片", (), ("Sci-Fi",), ()),
        ("有没有像Alien一样的片子", ("alien",), (), ()),
        ("我不是不喜欢喜剧", (), ("Comedy",), ()),
        ("not a drama or a horror film", (), (), ("Drama", "Horror")),
        ("not comedy, drama or horror", (), (), ("Comedy", "Drama", "Horror")),
        ("not horror, comedy", (), ("Comedy",), ("Horror",)),
        ("I don't want to see a drama or a comedy", (), (), ("Comedy", "Drama")),
        ("neither horror nor drama", (), (), ("Drama", "Horror")),
        ("I'm not in the mood for drama", (), (), ("Drama",)),
        ("I can't stand comedies", (), (), ("Comedy",)),
        ("I'm tired of action movies, something funny", (), ("Comedy",), ("Action",)),
        ("horror is not my thing", (), (), ("Horror",)),
        ("not only comedies", (), ("Comedy",), ()),
        ("I don't mind horror", (), (), ()),
        ("something like alien but funny", ("alien",), ("Comedy",), ()),
        ("I need some speed in my life", (), (), ()),
        ("like Speed Racer", (), (), ()),
        ("something like star wars", ("star",), (), ()),
        ("I like it", (), (), ()),
        ("I've seen Alien and loved it, something similar", ("alien",), (), ()),
    ],
)
def test_titles_categories_and_moods(
    retriever: ChatRetriever, text: str, titles: tuple[str, ...], wanted: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    wish = ask(retriever, text)
    assert (wish.titles, wish.wanted, tuple(sorted(wish.refused))) == (titles, wanted, refused)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("just one", 1),
        ("Only two please", 2),
        ("give me five", 5),
        ("three films for tonight", 3),
        ("a single film", 1),
        ("a shorter list", 2),
        ("more ideas", 5),
        ("the one with the shark", 3),
        ("两部电影就够了", 2),
        ("只要一部", 1),
        ("我想看一部喜剧", 3),
        ("少一点", 2),
        ("多推荐几部", 5),
        ("Give me 10 films", 5),
        ("top 7", 5),
        ("six ideas please", 5),
        ("推荐十部电影", 5),
        ("show me 12 Monkeys", 3),
        ("one comedy", 1),
        ("two horror films", 2),
        ("I'd like two good films", 2),
        ("two comedies for tonight", 2),
        ("one good thriller, please", 1),
        ("give me 10 comedies", 5),
        ("2 scary films", 2),
        ("one romantic evening", 3),
        ("one more thing: not horror", 3),
        ("a 2 hour comedy", 3),
        ("comedies of 1995", 3),
        ("Seven thrillers", 5),
        ("just a couple", 2),
        ("a couple of comedies", 2),
        ("a film about a couple in love", 3),
        ("make it four", 4),
        ("两个人看的爱情片", 3),
    ],
)
def test_lengths(retriever: ChatRetriever, text: str, count: int) -> None:
    assert ask(retriever, text).count == count


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("a film from the nineties", (1990, 1999)),
        ("something from the 60s", (1960, 1969)),
        ("1980s action", (1980, 1989)),
        ("the 2010s", (2010, 2019)),
        ("before 1970", (None, 1969)),
        ("after 1995 please", (1996, None)),
        ("since 1995", (1995, None)),
        ("from 1995 on", (1995, None)),
        ("a comedy from 1995", (1995, 1995)),
        ("between 1980 and 1985", (1980, 1985)),
        ("九十年代的喜剧", (1990, 1999)),
        ("80年代的", (1980, 1989)),
        ("1990年以前的", (None, 1989)),
        ("1995年的电影", (1995, 1995)),
        ("2001: A Space Odyssey", (None, None)),
        ("ten films", (None, None)),
    ],
)
def test_years(retriever: ChatRetriever, text: str, years: tuple[int | None, int | None]) -> None:
    assert ask(retriever, text).years == years


def test_years_hold_until_any_will_do(retriever: ChatRetriever) -> None:
    assert ask(retriever, "from the 60s", "Try Psycho.", "but funny").years == (1960, 1969)
    assert ask(retriever, "from the 60s", "Try Psycho.", "any year is fine").years == (None, None)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("boots under $50", 50.0),
        ("cheaper than 19.99", 19.99),
        ("at most two", None),
        ("at most 3 films", None),
        ("under 90 minutes", None),
        ("100元以下的", 100.0),
    ],
)
def test_prices(retriever: ChatRetriever, text: str, price: float | None) -> None:
    assert ask(retriever, text).price == price


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a film about sharks and submarines", "sharks submarines"),
        ("time travel", "time travel"),
        ("something else this time", ""),
        ("a gift under 60 dollars", ""),
        ("Waterproof boots for wet trails?", "waterproof boots wet trails"),
        ("something like Alien but funny", ""),
        ("What should I watch next?", ""),
        ("a thriller for tonight", ""),
        ("a shorter list", ""),
        ("not about submarines", ""),
        ("我想看潜水艇", ""),
    ],
)
def test_words_that_are_left_for_their_meaning(retriever: ChatRetriever, text: str, left: str) -> None:
    assert ask(retriever, text).text == left


def test_meaning_holds_until_something_else_is_asked_for(retriever: ChatRetriever) -> None:
    assert ask(retriever, "about submarines", "Try Alien.", "a shorter list").text == "submarines"
    assert ask(retriever, "about submarines", "Try Alien.", "a comedy then").text == ""


def test_what_was_asked_before_holds_until_it_is_changed(retriever: ChatRetriever) -> None:
    wish = ask(
        retriever, "something like Alien", "You could try Babe.", "but funny", "Babe it is.", "not scary, just one"
    )
    assert wish == Wish(("alien",), ("Comedy",), ("Horror",), 1)
    wish = ask(retriever, "not horror", "Try Babe.", "ok, horror then")
    assert wish.wanted == ("Horror",) and wish.refused == ()


ANSWER = "If you liked Alien, you could try The Godfather, a story. Babe is gentle. And Speed is a thriller."


@pytest.mark.parametrize(
    ("text", "about", "kind"),
    [
        ("why the second one?", "babe", "reason"),
        ("Why number 3?", "speed", "reason"),
        ("why that one?", "father", "reason"),
        ("Tell me more about the last film", "speed", "pitch"),
        ("Why The Godfather?", "father", "reason"),
        ("What is Alien about?", "alien", "pitch"),
        ("why the fifth one?", None, "chat"),
        ("why are the first days of spring cold", None, "chat"),
        ("为什么推荐第二部？", "babe", "reason"),
        ("介绍一下最后一部", "speed", "pitch"),
        ("为什么推荐它？", "father", "reason"),
        ("Alien怎么样？", "alien", "pitch"),
        ("Is Alien good?", "alien", "pitch"),
        ("Is Alien worth watching?", "alien", "pitch"),
        ("Who directed Psycho?", "psycho", "pitch"),
        ("When was Psycho released?", "psycho", "pitch"),
        ("Is there something as good as Alien, like it?", None, "chat"),
        ("Is Alien scary?", "alien", "pitch"),
        ("do you have psycho?", "psycho", "pitch"),
        ("why?", "father", "reason"),
        ("为什么", "father", "reason"),
        ("why did you pick number two?", "babe", "reason"),
        ("how long is it?", "father", "pitch"),
        ("Alien的导演是谁？", "alien", "pitch"),
        ("Do you have Psycho?", "psycho", "pitch"),
        ("I want to watch The Godfather", "father", "pitch"),
        ("I want to watch something like The Godfather", None, "chat"),
    ],
)
def test_what_points_into_the_answer_before(retriever: ChatRetriever, text: str, about: str | None, kind: str) -> None:
    wish = ask(retriever, "hello", ANSWER, text, seen=frozenset({"alien"}))
    assert (wish.about, wish.kind) == (about, kind)


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("not that", True),
        ("Not these, please", True),
        ("I don't like any of those", True),
        ("I do not want it.", True),
        ("not that one", True),
        ("不要这些", True),
        ("不喜欢这部。", True),
        ("not that scary", False),
        ("I don't like that kind of horror", False),
        ("I want these", False),
    ],
)
def test_a_list_that_is_refused_does_not_come_again(retriever: ChatRetriever, text: str, is_refusal: bool) -> None:
    wish = ask(retriever, "hello", ANSWER, text, seen=frozenset({"alien"}))
    assert wish.without == (("father", "babe", "speed") if is_refusal else ())


def test_the_list_stays_what_places_point_into(retriever: ChatRetriever) -> None:
    wish = ask(
        retriever,
        "hi",
        ANSWER,
        "why the second one?",
        "Babe is gentle.",
        "and why the third one?",
        seen=frozenset({"alien"}),
    )
    assert wish.about == "speed"


def test_likeness_to_refusal_of_and_others_than_what_was_shown(retriever: ChatRetriever) -> None:
    seen = frozenset({"alien"})
    assert ask(retriever, "hi", ANSWER, "more like the second one", seen=seen).titles == ("babe",)
    assert ask(retriever, "hi", ANSWER, "not the second one", seen=seen).unwanted == ("babe",)
    assert ask(retriever, "hi", ANSWER, "I have seen the last one", seen=seen).unwanted == ("speed",)
    for text in ("I have seen all of these", "I know them already", "都看过了"):
        assert ask(retriever, "hi", ANSWER, text, seen=seen).without == ("father", "babe", "speed")
    assert ask(retriever, "hi", ANSWER, "something else?", seen=seen).without == ("father", "babe", "speed")
    assert ask(retriever, "hi", ANSWER, "a shorter list", seen=seen).count == 2


@pytest.mark.parametrize(
    ("text", "titles", "unwanted"),
    [
        ("not Mars Attacks", (), ("mars",)),
        ("something like Speed but not Psycho", ("speed",), ("psycho",)),
        ("I hate Alien, what else?", (), ("alien",)),
        ("anything but Alien", (), ("alien",)),
        ("nothing but comedies like Alien", ("alien",), ()),
        ("Why not Alien?", ("alien",), ()),
        ("不要《Alien》", (), ("alien",)),
        ("I hated Alien", (), ("alien",)),
        ("I've seen Alien and Speed already", (), ("alien", "speed")),
        ("我看过Alien了", (), ("alien",)),
    ],
)
def test_a_title_that_is_refused_is_no_wish(
    retriever: ChatRetriever, text: str, titles: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    wish = ask(retriever, text)
    assert (wish.titles, wish.unwanted) == (titles, unwanted)
    view = SessionView("u", (), (), (), ())
    assert set(unwanted) <= retriever.query(wish, view).excluded
    assert ask(retriever, text, "Try Babe.", "a shorter list").unwanted == unwanted


@pytest.mark.parametrize(
    ("text", "titles", "unwanted", "without"),
    [
        ("not the first and the third", (), ("father", "speed"), False),
        ("I have seen the first two", (), ("father", "babe"), False),
        ("I liked the second one", ("babe",), (), False),
        ("I didn't like the second one", (), ("babe",), False),
        ("one more", (), (), True),
        ("next", (), (), True),
        ("换一批", (), (), True),
    ],
)
def test_what_is_said_of_several_of_the_list(
    retriever: ChatRetriever, text: str, titles: tuple[str, ...], unwanted: tuple[str, ...], without: bool
) -> None:
    wish = ask(retriever, "hello", ANSWER, text, seen=frozenset({"alien"}))
    assert (wish.titles, wish.unwanted, bool(wish.without)) == (titles, unwanted, without)


def test_a_refused_place_leaves_the_rest_of_the_message(retriever: ChatRetriever) -> None:
    wish = ask(retriever, "hello", ANSWER, "not the first one, something funny", seen=frozenset({"alien"}))
    assert (wish.unwanted, wish.wanted) == (("father",), ("Comedy",))


def test_a_wish_can_be_taken_back(retriever: ChatRetriever) -> None:
    assert ask(retriever, "a horror film from 1979", "Try Alien.", "start over") == Wish()
    assert ask(retriever, "no drama", "Try Babe.", "forget that, a comedy") == Wish(wanted=("Comedy",))
    taken_back = ask(retriever, "a comedy, not horror", "Try Babe.", "any genre is fine")
    assert (taken_back.wanted, taken_back.refused) == ((), ("Horror",))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("nothing older than 1990", (None, 1989)),
        ("no films before 1980", (None, 1979)),
        ("anything but the 80s", (1980, 1989)),
        ("a drama, but nothing after 2000", (2001, None)),
        ("不要1990年以前的", (None, 1989)),
    ],
)
def test_years_that_are_refused(retriever: ChatRetriever, text: str, years: tuple[int | None, int | None]) -> None:
    wish = ask(retriever, text)
    assert (wish.years, wish.years_out) == ((None, None), (years,))
    assert ask(retriever, text, "Try Babe.", "any year").years_out == ()


def test_what_nothing_fitted_holds_no_longer(retriever: ChatRetriever) -> None:
    nothing = "I have nothing that fits. Tell me what you like, and we will find something."
    wish = ask(retriever, "not horror", "Try Babe.", "a funny film from 2050", nothing, "hm")
    assert wish == Wish(wanted=("Comedy",), refused=("Horror",))
    assert ask(retriever, "a drama", "Try If.", "no drama", nothing, "hm").wanted == ("Drama",)


def test_the_query_of_a_wish(retriever: ChatRetriever) -> None:
    view = SessionView("u", ("star",), ("like",), (None,), (1,), frozenset({"star"}))
    query = retriever.query(Wish(("alien",), ("Comedy", "Sci-Fi"), ("Horror",), 1), view)
    assert query.n == 1 and query.allowed == {"mars"} and {"alien", "psycho"} <= query.excluded
    assert query.view.items == ("alien",) and query.view.types == ("like",) and query.view.seen == {"star"}
    every = retriever.query(Wish((), ("Comedy", "Sci-Fi"), (), 3), view)
    assert every.allowed == {"mars", "babe", "alien", "star"}  # one item is in both: too few
    about = retriever.query(Wish(about="star", kind="reason"), view)
    assert about.allowed == {"star"} and about.include_seen and about.n == 1 and about.view is view
    why = retriever.query(Wish(("alien",), about="mars", kind="reason"), view)
    assert why.allowed == {"mars"} and why.view.items == ("alien",)  # why it came: by what the list was to be like


def test_years_and_prices_narrow_only_a_catalogue_that_has_them(retriever: ChatRetriever) -> None:
    view = SessionView("u", (), (), (), (), frozenset())
    retriever.wish([("user", "hello")])
    assert retriever.query(Wish(years=(1990, 1999), price=5.0), view).allowed is None


def test_a_title_that_was_only_named_is_no_like(retriever: ChatRetriever) -> None:
    view = SessionView("u", ("star",), ("like",), (None,), (1,))
    reasons = (Reason("because_liked", 0.6, "alien"), Reason("because_liked", 0.4, "star"))
    (entry,) = honest([RankedItem("mars", 1.0, "graph", reasons)], Wish(("alien",)), view)
    assert [reason.kind for reason in entry.reasons] == ["because_named", "because_liked"]


async def test_a_new_title_is_known_when_the_catalogue_knows_it(retriever: ChatRetriever) -> None:
    assert ask(retriever, "like Brazil?").titles == ()
    retriever._catalogue._store.items.put([Item("brazil", "Brazil (1985)", categories=("Sci-Fi",))])
    await retriever._catalogue.refresh()
    assert ask(retriever, "like Brazil?").titles == ("brazil",)
