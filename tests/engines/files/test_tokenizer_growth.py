"""No text grows by more than the file of its tokenizer says, and files that say too much are
refused."""

from __future__ import annotations

import base64
import json
import unicodedata
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pytest_llmdiff.data.token_ids import panics_told
from pytest_llmdiff.engines.files.tokenizer_growth import check_growth, growth_of
from pytest_llmdiff.errors import ProbeError

Json = dict[str, Any]
TEXT: Json = {"Sequence": {"id": "A", "type_id": 0}}


def replacing(pattern: str, content: str, *, kind: str = "String") -> Json:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def precompiled(*pieces: str) -> Json:
    charsmap = bytes(4) + b"".join(piece.encode() + b"\0" for piece in pieces)
    return {
        "type": "Precompiled",
        "precompiled_charsmap": base64.b64encode(charsmap).decode(),
    }


def template(*single: Json, ids: int = 1) -> Json:
    token = {"id": "s", "ids": [0] * ids, "tokens": ["s"] * ids}
    return {"type": "TemplateProcessing", "single": [*single], "pair": [TEXT],
            "special_tokens": {"s": token}}  # fmt: skip


def sequence(name: str, *steps: Json) -> Json:
    return {"type": "Sequence", name: [*steps]}


def nested(depth: int) -> Json:
    """A sequence of two sequences of two, and so on."""
    step = replacing("e", "ee")
    for _ in range(depth):
        step = sequence("normalizers", step, step)
    return step


SPECIAL: Json = {"SpecialToken": {"id": "s", "type_id": 0}}
BYTES: Json = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
               "use_regex": True}  # fmt: skip
BERT: Json = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
              "strip_accents": None, "lowercase": True}  # fmt: skip
TWICE = [replacing("e", "ee")] * 40


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("normalizer", sequence("normalizers", *TWICE), r"can become 1,099,511,627,776 times"),
        ("normalizer", {"normalizers": TWICE}, "1,099,511,627,776 times"),
        ("normalizer", nested(6), "more than 10.15 times"),
        ("normalizer", {"type": "Prepend", "prepend": "x" * 10**7}, "10,000,001 times"),
        ("normalizer", {"prepend": "x" * 10**7}, "10,000,001 times"),
        ("normalizer", replacing("", "x" * 1000), "1,001 times"),
        ("normalizer", replacing("a?", "x" * 1000, kind="Regex"), "1,001 times"),
        ("normalizer", replacing("ab", "x" * 1000), "500 times"),
        ("normalizer", precompiled("a", "x" * 1000), "1,000 times"),
        ("normalizer", sequence("normalizers", *[{"type": "ByteLevel"}] * 5), "1,024 times"),
        ("normalizer", sequence("normalizers", *[BERT] * 6), "729 times"),
        ("normalizer", sequence("normalizers", replacing("a", "\ufdfa"), {"type": "NFKD"},
                                replacing(" ", "\ufdfa"), {"type": "NFKC"}), "324 times"),
        ("normalizer", sequence("normalizers", *[{"type": "Strip"}] * 101), "101 steps"),
        ("pre_tokenizer", sequence("pretokenizers", *[BYTES] * 5), "1,024 times"),
        ("pre_tokenizer", sequence("pretokenizers", *[{"type": "Metaspace"}] * 9), "512 times"),
        ("post_processor", template(*[TEXT] * 300), "300 times"),
        ("post_processor", sequence("processors", *[template(TEXT, TEXT)] * 9), "512 times"),
        ("post_processor", template(TEXT, *[SPECIAL] * 11, ids=100), "1,100 tokens put around"),
        ("decoder", sequence("decoders", *TWICE), "a decoded text can become 1,099,511,627,776"),
        ("decoder", replacing("", "x" * 999), "1,000 times"),
        ("decoder", sequence("decoders", *[{"type": "WordPiece"}] * 9), "512 times"),
        ("added_tokens", [{"content": "x" * 5000}], "a token has 5,000 characters"),
        ("model", {"vocab": {"x" * 5000: 0}}, "a token has 5,000 characters"),
        ("model", {"vocab": [["x" * 5000, -1.0]]}, "a token has 5,000 characters"),
        ("model", {"end_of_word_suffix": "x" * 5000}, "a token has 5,000 characters"),
        ("model", {"max_input_chars_per_word": 10**9}, "up to 1,000,000,000 characters"),
    ],
)  # fmt: skip
def test_what_is_refused(part: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"{told}.* at most .* are allowed: take the tokenizer"):
        check_growth({part: value})


def test_a_regular_expression_for_replies_is_refused() -> None:
    with pytest.raises(ValueError, match="a regular expression for replies is not allowed"):
        check_growth({"decoder": replacing("(e|ee)+$", "", kind="Regex")})


@pytest.mark.parametrize(
    ("expression", "growth"),
    [
        (" {2,}", 2), (r"\s{2,}|[\n\r\t]", 2), (r"\A▁", 2), ("^▁+$", 2), (r"\A +| +\z", 2),
        (" +▁", 2), ("a{2}b+", 2),
        ("a?", 3), ("a*", 3), ("(?=a)", 3), ("", 3), ("a|", 3), ("^", 3), (r"\b", 3), (r"\A", 3),
        ("a{0,2}", 3), ("a{,2}", 3), ("a{2,0}", 3), ("a+?", 3), ("(a)", 3), ("[|]", 3), (r"\K", 3),
    ],
)  # fmt: skip
def test_what_a_regular_expression_grows(expression: str, growth: int) -> None:
    assert growth_of({"normalizer": replacing(expression, "xy", kind="Regex")}).encoded == growth


LLAMA: Json = {
    "normalizer": sequence("normalizers", {"type": "Prepend", "prepend": "▁"},
                           replacing(" ", "▁")),
    "pre_tokenizer": None,
    "post_processor": template(SPECIAL, TEXT),
    "decoder": sequence("decoders", replacing("▁", " "), {"type": "ByteFallback"},
                        {"type": "Fuse"},
                        {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
}  # fmt: skip
# nmt_nfkc of SentencePiece: the longest that it writes is what U+FDFA becomes.
NMT = precompiled("fi", unicodedata.normalize("NFKD", "\ufdfa"))
SPACES = replacing(" {2,}", "▁", kind="Regex")
MT5: Json = {
    "normalizer": sequence("normalizers", NMT, SPACES),
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
}
SEAMLESS: Json = MT5 | {
    "normalizer": sequence("normalizers", NMT, replacing(r"[\n\r\t]", " ", kind="Regex"),
                           *(replacing(pattern, "▁", kind="Regex")
                             for pattern in (" +▁", "^▁+$", " {2,}"))),
}  # fmt: skip
ALBERT: Json = MT5 | {
    "normalizer": sequence("normalizers", replacing("``", '"'), replacing("''", '"'),
                           {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
                           NMT, SPACES),
}  # fmt: skip
BERTS: Json = {
    "normalizer": BERT, "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": template(SPECIAL, TEXT, SPECIAL),
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": 100},
}  # fmt: skip
DIGITS: Json = {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated"}
QWEN: Json = {
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": sequence("pretokenizers", DIGITS, DIGITS, BYTES),
    "post_processor": BYTES, "decoder": BYTES, "added_tokens": [{"content": "<|im_start|>"}],
    "model": {"type": "BPE", "vocab": {" " * 128: 0}, "continuing_subword_prefix": None},
}  # fmt: skip


@pytest.mark.parametrize("parts", [LLAMA, MT5, SEAMLESS, ALBERT, BERTS, QWEN, {}])
def test_the_tokenizers_in_use_are_accepted(parts: Json) -> None:
    check_growth(parts)


# What steps grow, in the library itself

LETTERS = st.text("aeiK \u0130\ufdfa\ufb03中각▁", max_size=4)
REPLACEMENTS = st.builds(replacing, LETTERS, LETTERS) | st.builds(
    replacing, st.sampled_from(["a?", "e", "[ae]+", "(?=e)", "中|e"]), LETTERS,
    kind=st.just("Regex"),
)  # fmt: skip
NORMALIZERS = (
    REPLACEMENTS
    | st.sampled_from(
        [{"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents",
                                     "ByteLevel", "Nmt")]
    )
    | st.just(BERT)
    | st.builds(lambda text: {"type": "Prepend", "prepend": text}, LETTERS)
)  # fmt: skip
PRE_TOKENIZERS = st.sampled_from([
    BYTES, BYTES | {"add_prefix_space": True}, DIGITS | {"invert": False},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
])  # fmt: skip
DECODERS = (
    st.builds(replacing, LETTERS, LETTERS)
    | st.builds(lambda prefix: {"type": "WordPiece", "prefix": prefix, "cleanup": True}, LETTERS)
    | st.builds(lambda suffix: {"type": "BPEDecoder", "suffix": suffix}, LETTERS)
    | st.builds(lambda token: {"type": "CTC", "pad_token": "a", "word_delimiter_token": token,
                               "cleanup": True}, LETTERS)
    | st.sampled_from([
        BYTES, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    ])
)  # fmt: skip
BARE: Json = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
              "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
              "post_processor": None, "decoder": None,
              "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}  # fmt: skip
ASKED = st.text("aeiK 1中", min_size=1, max_size=20)


# A text may get something before its first character and behind its last one, hence one more.


@given(steps=st.lists(NORMALIZERS, max_size=4), text=ASKED)
def test_no_text_is_normalized_to_more(steps: list[Json], text: str) -> None:
    part = {"normalizer": sequence("normalizers", *steps)}
    normalizer = Tokenizer.from_str(json.dumps(BARE | part)).normalizer
    with suppress(ProbeError), panics_told():
        found = normalizer.normalize_str(text)
        assert len(found) <= growth_of(part).encoded * (len(text) + 1)


@given(steps=st.lists(PRE_TOKENIZERS, max_size=3), text=ASKED)
def test_no_text_is_split_into_more(steps: list[Json], text: str) -> None:
    part = {"pre_tokenizer": sequence("pretokenizers", *steps)}
    splitter = Tokenizer.from_str(json.dumps(BARE | part)).pre_tokenizer
    found = splitter.pre_tokenize_str(text)
    assert sum(len(piece) for piece, _ in found) <= growth_of(part).encoded * len(text)


@given(steps=st.lists(DECODERS, max_size=4), tokens=st.lists(ASKED, min_size=1, max_size=4))
def test_no_reply_is_decoded_to_more(steps: list[Json], tokens: list[str]) -> None:
    part = {"decoder": sequence("decoders", *steps)}
    decoder = Tokenizer.from_str(json.dumps(BARE | part)).decoder
    found = decoder.decode(tokens)
    assert len(found) <= growth_of(part).decoded * sum(len(token) + 1 for token in tokens)


@given(counts=st.lists(st.integers(1, 3), max_size=3), ids=st.integers(0, 3))
def test_no_text_gets_more_around_it(counts: list[int], ids: int) -> None:
    around = (template(SPECIAL, *[TEXT] * n, ids=ids) for n in counts)
    part = {"post_processor": sequence("processors", *around)}
    library, at_most = Tokenizer.from_str(json.dumps(BARE | part)), growth_of(part)
    with suppress(ProbeError), panics_told():
        assert len(library.encode("a a").ids) <= 2 * at_most.encoded + at_most.added
