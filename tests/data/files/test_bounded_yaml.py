"""YAML of a stranger is refused before it takes the machine's memory or time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.files.bounded_yaml import (
    DEEPEST,
    MOST_CHARACTERS,
    MOST_VALUES,
    compose_yaml,
    load_yaml,
)
from tests.support.bounded import bounded

LAYERS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(LAYERS, "more than 100,000 values", id="layers of aliases"),
        pytest.param(
            "a: &a " + "x" * 9000 + "\nb: [" + "*a, " * 1000 + "]",
            "more than 8,000,000 characters, aliases resolved",
            id="a long text many times",
        ),
        pytest.param(
            "a: &a\n"
            + "".join(f" k{n}: v\n" for n in range(1000))
            + "b:\n  <<: ["
            + "*a, " * 500
            + "]",
            "more than 100,000 values",
            id="merge keys",
        ),
        pytest.param("&a [*a]", "the alias stands within", id="an alias within itself"),
        pytest.param("[" * 5000, f"more than {DEEPEST} deep", id="lists in lists"),
        pytest.param("x" * (MOST_CHARACTERS + 1), "at most 8,000,000", id="a long file"),
        pytest.param("- a\n" * (MOST_VALUES + 1), "more than 100,000 values", id="many values"),
        pytest.param("a: " + "9" * 400, "a number has more than 100", id="an int"),
        pytest.param("a: " + "9" * 400 + ".0", "a number has more than 100", id="a float"),
        pytest.param("a: 1" + ":59" * 100_000, "a number has more than 100", id="base 60"),
        pytest.param("a: !!int " + "1" * 400, "a number has more than 100", id="a tag"),
    ],
)
def test_what_is_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    printed = bounded(
        "import sys, yaml\n"
        "from pathlib import Path\n"
        "from pytest_llmdiff.data.files.bounded_yaml import load_yaml\n"
        "try:\n    print(str(load_yaml(Path(sys.argv[1]).read_text()))[:99])\n"
        "except yaml.YAMLError as error:\n    print(error)\n",
        file,
        memory=1 << 30,
        seconds=20,
    )
    assert told in printed


def test_an_accepted_file_of_aliases_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "accepted.yaml"
    row = "".join("  " + line + "\n" for line in LAYERS.splitlines())
    file.write_text(f"- digest: d\n{row}  reply: *a9\n")
    printed = bounded(
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_llmdiff.errors import ConfigError\n"
        "from pytest_llmdiff.verdicts.accepted import read_accepted\n"
        "try:\n    print(read_accepted(Path(sys.argv[1])))\n"
        "except ConfigError as error:\n    print(error)\n",
        file,
    )
    assert "cannot be read: it has more than 100,000 values" in printed
    assert "line " in printed


@given(
    st.recursive(
        st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_all_else_is_read_as_by_yaml(value: object) -> None:
    text = yaml.safe_dump(value)
    assert load_yaml(text) == yaml.safe_load(text)
    assert compose_yaml(text).start_mark.line == 0


def test_aliases_that_people_write() -> None:
    text = "common: &c {rate: 1.0e-4, n: 0x10}\nrun: {<<: *c, n: 2}\nagain: *c\n"
    assert load_yaml(text) == yaml.safe_load(text)
