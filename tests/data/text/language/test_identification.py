"""Which languages a text is in, and which of its sentences are in another one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pytest_llmdiff.data.text.language.identification import (
    foreign,
    language_of,
    languages_of,
    sentences,
)
from pytest_llmdiff.data.text.language.names import is_about_languages, name_of, named_in
from pytest_llmdiff.data.text.language.unjudged import unjudged

LISTED = Path(__file__).parents[3] / "support" / "data" / "languages.tsv"
DETOXIFY = ("en", "fr", "es", "it", "pt", "tr", "ru")
# English that is nothing but words of music, which are Italian.
ITALIAN = ("Do re mi fa sol la ti do", "Adagio, allegro, andante, presto, moderato")


def listed() -> list[tuple[str, str]]:
    with LISTED.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["language"], row["text"]) for row in rows]


def test_sentences_in_other_languages_than_english() -> None:
    missed = [text for code, text in listed() if code != "en" and foreign(text, ["en"]) is None]
    assert missed == []


def test_odd_english_is_not_foreign() -> None:
    found = [text for code, text in listed() if code == "en" and foreign(text, ["en"])]
    assert [text for text in found if text not in ITALIAN] == []


def test_the_languages_of_a_multilingual_scorer() -> None:
    found = {code for code, text in listed() if foreign(text, DETOXIFY)}
    assert found == {code for code, _ in listed()} - set(DETOXIFY)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Your order ships on Monday. Spadaj, ty obrzydliwy śmieciu.",
         "Spadaj, ty obrzydliwy śmieciu."),
        ("Sure!\nTao ghét mày lắm.", "Sure! Tao ghét mày lắm."),
        ("You are a nice person i nienawidzę cię z całego serca, ty świnio.",
         "a nice person i nienawidzę cię z"),
        ("- One\n- Kamu bodoh sekali", "- One - Kamu bodoh sekali"),
        ("JESTEŚ GŁUPIM IDIOTĄ", "JESTEŚ GŁUPIM IDIOTĄ"),
        ("Ty świnio", "Ty świnio"),
    ],
)  # fmt: skip
def test_a_part_in_another_language(text: str, part: str) -> None:
    found = foreign(text, ["en"])
    assert found is not None
    assert found.text == part


@pytest.mark.parametrize(
    "text",
    [
        "", "...", "42", "Sure!", "No.", "Idiota!",  # too short to tell
        "Run `sudo systemctl zrestartuj usługę` again.",
        "```\n# Jesteś beznadziejny i nikt cię tu nie chce.\n```",
        "See https://pl.wikipedia.org/wiki/Jesteś_beznadziejny_i_nikt_cię_tu_nie_chce",
        "Write to jestes.beznadziejny.i.nikt.cie.tu.nie.chce@example.pl",
    ],
)  # fmt: skip
def test_what_is_not_told(text: str) -> None:
    assert foreign(text, ["en"]) is None


def test_a_scorer_of_a_language_that_cannot_be_identified_is_not_held_back() -> None:
    assert foreign("Jesteś beznadziejny i nikt cię tu nie chce.", ["gsw", "en"]) is None
    assert foreign("Jesteś beznadziejny i nikt cię tu nie chce.", ["en-US"]) is not None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Eres un imbécil.", "another language"),  # Spanish, Catalan or French
        ("Sei un cretino.", "another language"),  # Italian or Romanian
        ("Eres un imbécil y no vales nada, vete de aquí.", "Spanish"),
        ("Kamu tidak berguna dan semua orang membencimu.", "Indonesian"),  # or Malay, its neighbour
        ("Você é um idiota.", "Portuguese"),
        ("Du bist ein Idiot.", "German"),
    ],
)
def test_a_language_is_named_where_it_is_clear(text: str, name: str) -> None:
    found = foreign(text, ["en"])
    assert found is not None
    assert found.name == name


def test_neighbouring_languages_count_as_one() -> None:
    assert foreign("Ti si glup kao noć i svi te mrze.", ["sr"]) is None
    assert foreign("Kamu tidak berguna dan semua orang membencimu.", ["ms"]) is None


def test_why_a_scorer_does_not_judge_a_text() -> None:
    assert unjudged("Tu es vraiment le pire crétin que je connaisse.", ["en"]) == (
        "'Tu es vraiment le pire crétin que je connaisse.' is in French, and the scorer only knows "
        "English"
    )
    # Spanish, which its few words do not tell from French.
    assert unjudged("Eres un imbécil.", ["en"]) == (
        "'Eres un imbécil.' is in another language, and the scorer only knows English"
    )
    assert "another script (cjk)" in str(unjudged("你真笨。", ["en"]))
    assert unjudged("What a donkey you are.", ["en"]) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("You can send the item back to us within 30 days.", "en"),
        ("Możesz zwrócić produkt w ciągu trzydziestu dni.", "pl"),
        ("Você pode devolver os artigos em 30 dias.", "pt"),
        ("您可以在三十天内退款。", "zh"),
        ("日本の首都は東京です。", "ja"),
        ("Вы можете вернуть товар в течение тридцати дней.", "ru"),
        ("Yes.", None), ("", None), ("12 + 30 = 42", None),
    ],
)  # fmt: skip
def test_the_language_of_a_text(text: str, language: str | None) -> None:
    assert language_of(text) == language


def test_languages_of_a_mixed_text() -> None:
    text = "You can send it back. Możesz zwrócić produkt w ciągu trzydziestu dni."
    assert languages_of(text) == {"en", "pl"}


def test_short_sentences_are_joined() -> None:
    assert list(sentences("Oh. No. I see it. 好。")) == ["Oh. No. I see it.", "好。"]


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("Reply in Polish, please.", {"pl"}),
        ("Antworte auf Deutsch: what is a refund?", {"de"}),
        ("用英文写一封邮件", {"en"}),
        ("把下面的句子翻译成法语和日语", {"fr", "ja"}),
        ("请用繁體中文回答", {"zh"}),
        ("Odpowiedz po polsku.", {"pl"}),
        ("Trả lời bằng tiếng Anh", {"en"}),
        ("Jawab dalam bahasa Indonesia", {"id"}),
        ("英国的首都在哪里？", set()),
        ("How do I polish my shoes?", {"pl"}),  # a verb; it allows Polish, which is harmless
        ("How do I get a refund?", set()),
    ],
)
def test_languages_that_a_prompt_names(prompt: str, named: set[str]) -> None:
    assert named_in(prompt) == named


@pytest.mark.parametrize(
    ("prompt", "about"),
    [
        ("Translate: good morning", True),
        ("How do you say thank you in Wolof?", True),
        ("What does Schadenfreude mean?", True),
        ("翻译：早上好", True),
        ("Przetłumacz na angielski", True),
        ("How do I get a refund?", False),
        ("你好，请介绍一下你自己。", False),
    ],
)
def test_prompts_about_languages(prompt: str, about: bool) -> None:
    assert is_about_languages(prompt) is about


def test_names_of_languages() -> None:
    assert name_of("vi") == "Vietnamese"
    assert name_of("xx") == "xx"
