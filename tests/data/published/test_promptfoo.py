"""Tests of promptfoo as its configuration has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ProbeFileError
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

CONFIG = """
description: Capitals
providers: [openai:gpt-5-mini]
prompts:
  - 'Name the capital of {{country}}, {{tone}}.'
  - file://chat.json
defaultTest:
  vars: {tone: briefly}
tests:
  - vars: {country: [France, Spain]}
  - vars: {country: Italy, tone: loudly}
    assert:
      - type: llm-rubric
        value: is polite
      - {type: icontains, value: 'Rome, {{country}}'}
"""


def read(folder: Path, config: str) -> list[Probe]:
    (folder / "promptfooconfig.yaml").write_text(config, encoding="utf-8")
    (folder / "chat.json").write_text(
        '[{"role": "system", "content": "Be {{tone}}."},'
        ' {"role": "user", "content": "{{country}}"}]'
    )
    return probes_of_marker((), {"file": "promptfooconfig.yaml"}, folder=folder)


def test_each_prompt_with_each_test(tmp_path: Path) -> None:
    found = read(tmp_path, CONFIG)
    assert [probe.prompt for probe in found] == [
        "Name the capital of France, briefly.",
        "Name the capital of Spain, briefly.",
        "France",
        "Spain",
        "Name the capital of Italy, loudly.",
        "Italy",
    ]
    assert found[-1].messages[0] == {"role": "system", "content": "Be loudly."}
    assert [probe.reference for probe in found] == [None] * 4 + ["Rome, Italy"] * 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("file://chat.json", "file://prompt.py:make", "prompt.py:make is not read, and not run"),
        ("file://chat.json", "file://gone.txt", "gone.txt: cannot be read"),
        ("country: Italy", "country: file://italy.txt", "test 2: country is 'file://italy.txt'"),
        ("{{country}}, {{tone}}.", "{{city}}", "'city' is undefined"),
        ("{{country}}, {{tone}}.", "{% for i in range(9**9) %}", "test 1"),
        ("[France, Spain]", "[]", ""),
        ("tests:\n", "tests: file://tests.csv\nmore:\n", "tests: got 'file://tests.csv'"),
        ("defaultTest:\n  vars: {tone: briefly}", "defaultTest: 3", "expected vars and assert"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, old: str, new: str, told: str) -> None:
    config = CONFIG.replace(old, new)
    assert config != CONFIG
    if not told:  # the other test has values
        assert len(read(tmp_path, config)) == 2
        return
    with pytest.raises(ProbeFileError, match=told):
        read(tmp_path, config)


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ProbeFileError, match="more than 100,000 values"):
        read(tmp_path, "\n".join(lines) + CONFIG)


def test_too_many_combinations_are_refused(tmp_path: Path) -> None:
    many = "[" + ", ".join("abcdefghij") + "]"
    names = "".join(f", v{n}: {many}" for n in range(6))
    config = CONFIG.replace("[France, Spain]", "France" + names)
    config = config.replace("{{country}}, {{tone}}.", "plain").replace("  - file://chat.json\n", "")
    with pytest.raises(ProbeFileError, match="more than 100,000 probes"):
        read(tmp_path, config)
