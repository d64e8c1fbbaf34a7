"""Values of a source that double with every line are given up before they fill the memory."""

from __future__ import annotations

import ast

import pytest

from pytest_llmdiff.data.llamafactory.static_values import LONGEST, DynamicValueError, evaluate
from tests.support.bounded import bounded


@pytest.mark.parametrize("form", ["v + v", 'f"{v}{v}"', "(v, v)", "[v, v]", '{"a": v, "b": v}'])
def test_a_value_that_doubles_in_40_lines(form: str) -> None:
    lines = ['v = "abc"', *[f"v = {form}"] * 40, "register_template(name='t', stop_words=[v])"]
    printed = bounded(
        "import sys\nfrom pathlib import Path\n"
        "from pytest_llmdiff.data.llamafactory.templates import read_templates\n"
        "import tempfile, os\n"
        "file = Path(tempfile.mkdtemp(), 'template.py')\n"
        "file.write_text(sys.argv[1])\n"
        "print(str(read_templates(file).unreadable))\n",
        "\n".join(lines),
    )
    assert "cannot be read without running the source" in printed


def test_many_long_parts_are_not_joined() -> None:
    long = {"v": "x" * (LONGEST // 2)}
    node = ast.parse('f"' + "{v}" * 10_000 + '"', mode="eval").body
    with pytest.raises(DynamicValueError, match="more than 1,000,000 characters"):
        evaluate(node, long)
    assert evaluate(ast.parse('v + "y"', mode="eval").body, long) == long["v"] + "y"
