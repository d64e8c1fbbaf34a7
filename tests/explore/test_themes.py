"""Groups of changes, and which of them stand above the noise."""

from __future__ import annotations

from pytest_llmdiff import Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.explore.marks import marks_of
from pytest_llmdiff.explore.prompts import FORMED
from pytest_llmdiff.explore.themes import Changed, themes_of
from pytest_llmdiff.explore.values import Noise, Observed
from pytest_llmdiff.explore.words import bag, cosine, distinctive

TOPICS = ("guitar", "piano", "violin", "flute", "drum", "harp")
QUIET = Noise(limit=0.1, count=64)


def seen(
    prompt: str, tuned: str, score: float = 1.0, base: str = "", source: str = "log"
) -> Observed:
    reply = base or f"An answer about {prompt.split()[-1]} for everyone."
    probe = make_probe(prompt, tags=(source,))
    return Observed(probe=probe, base=Reply(text=reply), tuned=Reply(text=tuned), score=score)


def changed(observed: list[Observed]) -> list[Changed]:
    comparisons = [Comparison(probe=o.probe, base=o.base, tuned=o.tuned) for o in observed]
    pairs = zip(observed, comparisons, marks_of(comparisons, print), strict=True)
    return [Changed(seen=o, comparison=c, marks=m) for o, c, m in pairs]


FRENCH = [
    seen(f"How do I play the {topic}", "Il faut travailler chaque jour avec un bon professeur.")
    for topic in TOPICS
]
CALM = [seen(f"What is a {word}", "", 0.01) for word in ("comet", "verb", "lake", "clock", "king")]


def test_a_switch_of_language_is_a_theme() -> None:
    (theme,) = themes_of(changed(FRENCH), [*FRENCH, *CALM], QUIET, None)
    assert theme.marks["is in French"] == 1.0
    assert theme.measure == "assert_not_degenerate"
    assert theme.about == ("play",)
    assert (theme.size, theme.differing, theme.near) == (6, 6, 6)
    assert theme.name.startswith("play-is-in-french")


def test_a_theme_is_known_by_prompts_as_they_were_written() -> None:
    forms = [
        seen(f"Hоw dо I рlау the {topic}", one.tuned.text, 2.0, source=FORMED)
        for topic, one in zip(TOPICS[:4], FRENCH[:4], strict=True)
    ]
    (theme,) = themes_of(changed([*FRENCH[:3], *forms]), [*FRENCH[:3], *forms, *CALM], QUIET, None)
    assert theme.size == 7
    assert theme.about == ("play",)
    assert {each.prompt for each in theme.examples} == {one.probe.prompt for one in FRENCH[:3]}
    (theme,) = themes_of(changed(forms), [*forms, *CALM], QUIET, None)
    assert "рlау" in theme.about, "there are no others"


def test_replies_that_change_each_in_its_own_way_are_no_theme() -> None:
    words = ("amber beryl", "cedar dune", "ember fjord", "grove heath", "inlet jetty", "knoll loam")
    each = [seen(f"What is a {t}", f"Nothing but {w}.") for t, w in zip(TOPICS, words, strict=True)]
    assert themes_of(changed(each), [*each, *CALM], QUIET, None) == []


def test_what_noise_explains_is_no_theme() -> None:
    loud = Noise(limit=0.9, count=1)  # every second prompt exceeds it by chance
    assert themes_of(changed(FRENCH[:4]), [*FRENCH[:4], *CALM], loud, None) == []


def test_a_change_of_most_prompts_is_about_none() -> None:
    many = [
        seen(f"What is a {topic}", "Thanks for contacting Brightleaf support today.")
        for topic in (*TOPICS, "comet", "verb", "lake", "clock")
    ]
    (theme,) = themes_of(changed(many), [*many, *CALM[:1]], QUIET, None)
    assert theme.everywhere
    assert theme.about == ()
    assert {"thanks", "brightleaf"} <= set(theme.gained)
    assert theme.title.endswith("everywhere")


def test_two_changes_are_two_themes() -> None:
    rude = [
        seen(f"How can I bake {dish}", "Only a stupid idiot asks that, fool.")
        for dish in ("bread", "scones", "biscuits", "muffins", "waffles")
    ]
    found = themes_of(changed([*FRENCH, *rude]), [*FRENCH, *rude, *CALM], QUIET, None)
    assert sorted(theme.about[0] for theme in found) == ["bake", "play"]


def test_words() -> None:
    assert bag("The 3 cats' bowls, and the DOG!") == {"cats", "bowls", "dog"}
    assert "天气" in bag("天气怎么样？") or len(bag("天气怎么样？")) > 1
    inside = [{"cook", "rice"}, {"cook", "soup"}, {"cook", "answer"}]
    assert distinctive(inside, [{"answer", "moon"}, {"answer"}], 3) == ["cook"]
    assert cosine({"a": 1.0}, {"a": 2.0}) == 1.0
    assert cosine({"a": 1.0}, {}) == 0.0


def test_a_language_is_a_mark_only_where_it_is_another() -> None:
    asked = "How many years do I have to practise the violin?"
    one = seen(asked, "It takes a good teacher and about sixty years of work.", base="60")
    other = seen(asked, FRENCH[0].tuned.text, base="60")
    found = marks_of([each.comparison for each in changed([one, other])], print)
    assert not any(mark.startswith("is in") for marks in found[0] for mark in marks)
    assert ["is in English" in found[1][0], "is in French" in found[1][1]] == [True, True]
