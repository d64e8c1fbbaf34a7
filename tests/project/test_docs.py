"""Executes and checks the documentation: every example, command, table and link.

A fenced block may have a comment before it, `<!-- key: value; key: value -->`:

- `file`: the file to write the block to. Files without tests are available to every example on the
  same page.
- `outcome`: the expected outcome of a python example, such as `passed=1 failed=1` (default: all
  pass).
- `options`: options for that run, in addition to the scripted models or instead of them.
- `run`: the python block is a script that runs alone, without pytest. The models that it names
  (`NAMED`) are the scripted ones there.
- `output of`: for a text block, the file whose run, or the command that, prints these lines in this
  order; `…` matches anything.
- `real`: for the first screen of the README, which `tests/real/test_first_hour.py` runs with real
  models: the adapter.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import pytest_llmdiff
from pytest_llmdiff import Comparison, Reply, ScriptedEngine, ToolCall
from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.data.files.probe_files import COLUMNS, read_probe_file
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.tools.definitions import parse_tools
from pytest_llmdiff.measures.wiring.adapter import adapter_measurement
from pytest_llmdiff.measures.wiring.template.comparison import template_measurement
from pytest_llmdiff.reports.rows import comparison_row
from pytest_llmdiff.suites.limits import LIMITS
from tests.support import ROOT, options_table
from tests.support.pages import (
    BLOCKS,
    MODELS,
    PAGES,
    Block,
    assert_printed,
    commands_of,
    names,
    rows,
    start,
)
from tests.support.projects import BASE, CAPITAL, REFUND, TUNED, needs_native_toml, write_models
from tests.support.reports import hostile_rows

LANGUAGES = ("python", "toml", "json", "jsonl", "csv", "console", "text", "yaml")
# Shell commands that are not checked; everything else in a console block is.
SHELL = ("export", "rm", "cd", "git", "cat")


def all_of(*languages: str) -> list[Any]:
    return [pytest.param(b, id=b.place) for b in BLOCKS if b.language in languages]


TESTS = [
    pytest.param(block, id=block.place) for block in BLOCKS if block.is_test and not block.is_real
]


@pytest.mark.parametrize("block", TESTS)
def test_python_example(project: pytest.Pytester, block: Block) -> None:
    result = start(project, block)
    if "outcome" in block.about:
        pairs = (pair.partition("=") for pair in block.about["outcome"].split())
        wanted = {name: int(count) for name, _, count in pairs}
    else:
        wanted = {"passed": result.parseoutcomes().get("passed", 0)}
        assert wanted["passed"], "the example has no tests"
    result.assert_outcomes(**wanted)
    for shown in BLOCKS:
        if shown.page == block.page and shown.about.get("output of") == block.file is not None:
            assert_printed(shown, result.stdout.str())


NAMED = {"models/base": "scripted:base.json", "saves/support-lora": "scripted:tuned.json"}
SCRIPTS_ALONE = [pytest.param(block, id=block.place) for block in BLOCKS if "run" in block.about]


@pytest.mark.parametrize("block", SCRIPTS_ALONE)
def test_script_example(project: pytest.Pytester, block: Block) -> None:
    text = block.text
    for name, scripted in NAMED.items():
        assert f'"{name}"' in text
        text = text.replace(f'"{name}"', f'"{scripted}"')
    (project.path / str(block.file)).write_text(text, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, str(block.file)], cwd=project.path, check=False, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    for shown in BLOCKS:
        if shown.page == block.page and shown.about.get("output of") == block.file:
            assert_printed(shown, found.stdout)


def test_every_block_is_of_a_known_kind() -> None:
    assert BLOCKS
    for block in BLOCKS:
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}"
        unknown = set(block.about) - {"file", "outcome", "options", "output of", "run", "real"}
        assert not unknown, f"{block.place}: {unknown}"
        assert not block.is_real or block.page.name.startswith("README"), block.place
        own = [b for b in BLOCKS if b.page == block.page]
        files = [b.file for b in own if b.is_test or "run" in b.about]
        if block.is_real and "output of" in block.about:
            assert block.about["output of"] in commands_on(block.page), block.place
        elif "output of" in block.about:
            assert block.about["output of"] in files, block.place
        elif block.language == "text":
            assert block.page.name == "architecture.md", f"{block.place}: not the output of a run"
        if block.language == "python" and not block.is_test:
            compile(block.text, block.place, "exec")
            others = "".join(b.text + str(b.about) for b in BLOCKS if b.page == block.page
                             and b is not block)  # fmt: skip
            stem = Path(str(block.file)).stem
            imported = f"`from {stem} import" in block.page.read_text(encoding="utf-8")
            assert stem in others or imported, f"{block.place}: file is not used"


def commands_on(page: Path) -> list[str]:
    return commands_of(block for block in BLOCKS if block.page == page)


@needs_native_toml
@pytest.mark.parametrize("block", all_of("toml"))
def test_toml_example(project: pytest.Pytester, block: Block) -> None:
    data = tomllib.loads(block.text)
    if "pytest" not in data:
        return
    (project.path / "pytest.toml").write_text(block.text, encoding="utf-8")
    project.makepyfile("def test_it(llm_pair): pass")
    models = [f"{flag}={spec}" for flag, spec in MODELS.items()]
    result = project.runpytest_inprocess(*models, "--collect-only", "-q")
    assert result.ret == 0, result.stderr.str()


@pytest.mark.parametrize("block", all_of("json", "jsonl", "csv"))
def test_data_example(tmp_path: Path, block: Block) -> None:
    if block.language == "jsonl":
        assert all(json.loads(line) for line in block.text.splitlines())
    elif block.language == "json":
        json.loads(block.text)
    name = Path(block.file or f"probes/example.{block.language}")
    target = tmp_path / name.name
    target.write_text(block.text, encoding="utf-8")
    if name.parts[0] == "probes" and (block.file or block.language != "json"):
        assert read_probe_file(target)
    elif name.parts[0] == "scripted":
        assert ScriptedEngine.from_file(target).fingerprint()


# Commands


def words_of(block: Block) -> Iterator[list[str]]:
    text = block.text.replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        assert line.startswith("$ "), f"{block.place}: {line!r} is not a command"
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            yield words


@cache
def help_of(*command: str) -> frozenset[str]:
    """The options in a command's help."""
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return frozenset(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", found.stdout))


@cache
def extras() -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(project["optional-dependencies"])


def check_command(words: list[str]) -> None:
    name, *rest = words
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if name == "python" and rest[:1] == ["-m"]:
        if rest[1].startswith("benchmarks."):
            assert set(options) - {"-m"} <= help_of(rest[1], "--help"), rest
            return
        assert rest[1] in ("pytest", "pip", "venv", "pytest_llmdiff"), rest
        if rest[1:3] == ["pytest_llmdiff", "check"]:
            check_command(["pytest", *rest[3:]])  # it passes options on
        elif rest[1] == "pytest_llmdiff":
            assert set(options) - {"-m"} <= help_of("pytest_llmdiff", rest[2], "--help")
        elif rest[1] != "venv":
            check_command(rest[1:])
    elif name == "python":
        assert (ROOT / rest[0]).is_file(), f"{rest[0]} does not exist"
        text = (ROOT / rest[0]).read_text(encoding="utf-8")
        assert all(f'"{option}"' in text for option in options), options
    elif name == "pytest":
        known = help_of("pytest", "--help")
        # Short options that take a value may have it at once: -n2.
        unknown = [o for o in options if o not in known and o[:2] not in known]
        assert not unknown, f"pytest has no option {unknown}"
    elif name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        wanted = [word for word in rest if "=" not in word]
        assert set(wanted) <= set(targets), wanted
    elif name == "pip":
        assert rest[0] == "install", rest
        for word in rest[1:]:
            found = re.fullmatch(r"(?:pytest-llmdiff|\.)\[([\w,]+)\]", word)
            assert found is None or set(found[1].split(",")) <= extras(), word
    elif name == "hf":
        assert rest[0] == "download", rest
        assert set(options) <= {"--local-dir", "--include", "--revision"}, options
    elif name == "vllm":
        assert rest[0] == "serve", rest  # its options are those of its documentation
    else:
        assert name in SHELL, f"unknown command {name}"


@pytest.mark.parametrize("block", all_of("console"))
def test_commands(block: Block) -> None:
    own = {other.file for other in BLOCKS if other.page == block.page}
    for words in words_of(block):
        if words[0] != "python" or words[1] not in own:
            check_command(words)


def test_the_gate_of_this_project_runs_what_the_readme_says() -> None:
    ran = [c.split() for c in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    made = [c.split() for c in commands_on(ROOT / "README.md") if c.startswith("make ")]
    assert ["make", "test"] in made
    for command in made:
        assert any(line[: len(command)] == command for line in ran), command


# Keys of workflows whose values are shell commands.
SCRIPTS = ("run", "script")


def scripts_of(held: Any) -> Iterator[str]:
    if isinstance(held, dict):
        for key, value in held.items():
            if key in SCRIPTS:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts_of(value)
    elif isinstance(held, list):
        for value in held:
            yield from scripts_of(value)


def has_scripts(block: Block) -> bool:
    return any(scripts_of(yaml.safe_load(block.text)))


WORKFLOWS = [block for block in BLOCKS if block.language == "yaml" and has_scripts(block)]
TEMPLATES = [block for block in BLOCKS if block.language == "yaml" and not has_scripts(block)]


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in WORKFLOWS])
def test_workflows(block: Block) -> None:
    found = [shlex.split(command) for command in scripts_of(yaml.safe_load(block.text))]
    assert [words[0] for words in found] == ["pip", "pytest"] * 2
    for words in found:
        if "||" in words:
            words, tolerated = words[: words.index("||")], words[words.index("||") + 1 :]
            assert tolerated == ["test", "$?", "-eq", "1"]
        check_command(words)
    record, gate = found[1], found[3]
    (written,) = (word.partition("=")[2] for word in record if word.startswith("--llmdiff-record"))
    assert {f"--llm-base=replay:{written}", f"--llm-tuned=replay:{written}"} <= set(gate)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in TEMPLATES])
def test_uses_of_templates(block: Block) -> None:
    """What pages give to the action, the GitLab template and the hook exists there."""
    data = yaml.safe_load(block.text)
    action, gitlab, hooks = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("action.yml", "templates/llmdiff.gitlab-ci.yml", ".pre-commit-hooks.yaml")
    )
    checked = 0
    for job in data.get("jobs", {}).values():
        for step in job["steps"]:
            if "/pytest-llmdiff@" in step["uses"]:
                assert step["with"].keys() <= action["inputs"].keys()
                arguments = step["with"].get("arguments", "").splitlines()
                check_command(["pytest", *filter(None, arguments)])
                check_command(["pip", "install", *step["with"].get("install", "").split()])
                checked += 1
    for included in data.get("include", []):
        assert (ROOT / included["file"]).is_file()
        variables = data["llmdiff"]["variables"]
        assert variables.keys() <= gitlab["llmdiff"]["variables"].keys()
        check_command(["pytest", *variables.get("LLMDIFF_ARGUMENTS", "").splitlines()])
        check_command(["pip", "install", *variables.get("LLMDIFF_INSTALL", "").split()])
        checked += 1
    for hook in (hook for repository in data.get("repos", []) for hook in repository["hooks"]):
        assert hook["id"] in {known["id"] for known in hooks}
        check_command(["pytest", *hook["args"]])
        checked += 1
    assert checked


def test_the_inputs_of_the_action_are_described() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    inputs = {
        row[0].strip("`"): row[1].strip("`") for row in rows("docs/ci.md", "## GitHub action")
    }
    assert inputs == {name: held.get("default", "") for name, held in action["inputs"].items()}
    assert all(f"| `{name}` |" in text for name in action["outputs"])


@pytest.mark.parametrize(
    "file", sorted((ROOT / "example_suites").glob("*/.github/workflows/*.yml")), ids=str
)
def test_workflows_of_example_suites(file: Path) -> None:
    commands = [*scripts_of(yaml.safe_load(file.read_text(encoding="utf-8")))]
    assert commands
    for command in commands:
        words = shlex.split(command)
        check_command(words[: words.index("||")] if "||" in words else words)


@pytest.mark.parametrize("limit", [0.5, 0.95])
def test_a_gate_replays_what_was_recorded(project: pytest.Pytester, limit: float) -> None:
    """Both jobs of the workflows, with scripted models; the exit codes decide the jobs."""
    (project.path / "checks").mkdir()
    (project.path / "checks" / "test_it.py").write_text(
        f"""
import pytest
from pytest_llmdiff import assert_divergence, assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_it(comparison):
    assert_divergence(comparison, at_most=3)
    assert_toxicity(comparison, at_most={limit})
""",
        encoding="utf-8",
    )
    models = [f"{flag}={spec}" for flag, spec in MODELS.items()]
    code = 1 if limit < 0.9 else 0
    assert project.runpytest_inprocess("checks", *models, "--llmdiff-record=run.jsonl").ret == code
    for name in ("base.json", "tuned.json"):
        (project.path / name).unlink()
    replayed = project.runpytest_inprocess(
        "checks", "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl",
        "--llmdiff-store=fresh", "--llmdiff-html=llmdiff.html",
    )  # fmt: skip
    assert replayed.ret == code
    assert (project.path / "llmdiff.html").is_file()


@pytest.mark.parametrize(
    ("summary", "exit_code", "merged"),
    [
        ({"passed": 3, "regressed": 0, "skipped": 1}, 0, True),
        ({"passed": 0, "regressed": 0, "skipped": 4}, 0, False),
        ({"passed": 3, "inconclusive": 1}, 0, False),
        ({"passed": 3, "error": 1}, 1, False),
        ({"passed": 3, "regressed": 0}, 2, False),
    ],
)
def test_the_gate_of_the_docs(
    tmp_path: Path, summary: dict[str, int], exit_code: int, merged: bool
) -> None:
    (block,) = (block for block in BLOCKS if block.file == "gate.py")
    (tmp_path / "gate.py").write_text(block.text, encoding="utf-8")
    report = {"summary": summary, "exit_code": exit_code}
    (tmp_path / "llmdiff.json").write_text(json.dumps(report), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "gate.py"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert (found.returncode == 0) == merged, found.stderr


# Links and tables


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


HELPERS = sorted(name for name in pytest_llmdiff.__all__ if name.startswith("assert_"))


HELPER_PAGE = ("docs/helpers.md", "## Assertion helpers")


def test_the_page_of_helpers_lists_exactly_the_helpers() -> None:
    assert sorted(name.partition("(")[0] for name in names(*HELPER_PAGE)) == HELPERS


def test_helpers_are_shown_with_their_parameters() -> None:
    for shown in names(*HELPER_PAGE):
        name, _, arguments = shown.rstrip(")").partition("(")
        _, *known = inspect.signature(getattr(pytest_llmdiff, name)).parameters
        subject, *given = arguments.split(", ")
        assert subject in ("comparison", "comparisons", "llm_tuned", "llm_pair"), shown
        named = {word.rstrip("=") for word in given}
        assert named - {"scorer"} == set(known) - {"scorer"}, shown


def test_every_helper_and_its_twin_are_described() -> None:
    text = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    for name in HELPERS:
        twin = name.removeprefix("assert_")
        assert f"\n## `{name}`, `{twin}`\n" in text


def test_every_public_name_is_documented() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in pytest_llmdiff.__all__:
        assert re.search(rf"\b{name}\b", text), f"the documentation does not mention {name}"


def test_constants_are_those_of_the_source() -> None:
    found = rows("docs/measures.md", "## Constants")
    assert found
    for name, value, *_ in found:
        module, _, constant = name.strip("`").rpartition(".")
        held = getattr(importlib.import_module(f"pytest_llmdiff.{module}"), constant)
        assert float(value) == held, name


def test_the_option_table_is_that_of_the_source() -> None:
    page = options_table.PAGE.read_text(encoding="utf-8")
    assert page == options_table.written(page), "`make docs` writes the table anew"


def test_the_limits_of_suites_are_those_of_the_source() -> None:
    found = {row[0].strip("`"): row[1:] for row in rows("docs/suites.md", "## Limits")}
    assert found == {name: [f"{held.value:g}", held.reason] for name, held in LIMITS.items()}


def test_every_suite_is_described() -> None:
    folder = ROOT / "pytest_llmdiff" / "suites"
    assert sorted(names("docs/suites.md", "## The suites")) == sorted(
        file.parent.name for file in folder.glob("*/test_*.py")
    )


def test_the_columns_of_probe_files_are_those_of_the_source() -> None:
    assert tuple(names("docs/probes.md", "### Columns")) == COLUMNS


# Chinese pages

# A Chinese page is beside its English original.
CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]


def without_comments(block: Block) -> str:
    """The block without comments, which are in the reader's language."""
    return re.sub(r"  +#.*$|^#.*$", "", block.text, flags=re.MULTILINE)


def outline(page: Path) -> list[tuple[int, list[str]]]:
    """Each section's level, and the code spans in the first column of each row of its tables."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found: list[tuple[int, list[str]]] = []
    for line in text.splitlines():
        if heading := re.match(r"(#+) ", line):
            found.append((len(heading[1]), []))
        elif line.startswith("|"):
            cell = re.sub(r"`[^`]*`", lambda code: code[0].replace("|", "\0"), line).split("|")[1]
            found[-1][1].append(" ".join(re.findall(r"`[^`]+`", cell)))
    return found


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_a_chinese_page_says_what_the_english_one_says(page: Path) -> None:
    english = page.with_name(page.name.replace(".zh-CN", ""))
    ours, theirs = ([b for b in BLOCKS if b.page == p] for p in (page, english))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.language, a.about) == (b.language, b.about), f"{a.place}, {b.place}"
        assert without_comments(a) == without_comments(b), f"{a.place}, {b.place}"
    assert outline(page) == outline(english), "sections or table rows differ"
    for one, other in ((page, english), (english, page)):
        assert f"({other.name})" in one.read_text(encoding="utf-8"), f"{one.name} has no link"


def test_there_are_chinese_pages() -> None:
    assert {page.name for page in CHINESE} == {
        f"{name}.zh-CN.md" for name in ("README", "from-a-script", "helpers", "tutorial")
    }


# The JSON report


@pytest.fixture
def real_report(project: pytest.Pytester) -> dict[str, Any]:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import *

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_all(comparison):
            assert_semantic_drift(comparison, at_most=2)
            assert_divergence(comparison, at_most=9)
            assert_not_degenerate(comparison)
            assert_refusal(comparison, gained_at_most=0, lost_at_most=0)
            assert_format_kept(comparison, matches=".*", lost_at_most=0)
            assert_invariant(comparison, comparison, at_most=0, flips_at_most=0)
            assert_toxicity(comparison, at_most=0.2, rise_at_most=0.1)

        @pytest.mark.llmdiff({REFUND!r})
        def test_attention(comparison):
            assert_attention_shift(comparison, at_most=1)
            assert_attention_shift(comparison, comparison, pair_at_most=1)
            assert_attends(comparison, "refund", at_least=0, drop_at_most=1)

        @pytest.mark.llmdiff({CAPITAL!r}, reference="Paris")
        def test_kept(comparison):
            assert_retention(comparison, lost_at_most=0, drop_at_most=1)

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_set(comparisons):
            assert_not_degenerate(comparisons)
            assert_refusal(comparisons, gained_at_most=1, lost_at_most=1)
            assert_toxicity(comparisons, over=0.5, at_most=1, rise_at_most=1)
            assert_toxicity(comparisons, rise_at_most=0.1)

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_worst(comparisons):
            assert_toxicity(comparisons, over=0.5, at_most=0.01)
        """
    )
    likely = {"likelihoods": {"Paris": -0.5, TUNED["replies"][REFUND]: -1.0}}
    looked = {"shift": 0.2, "words": {"refund": [0.4, 0.1]}}
    attention = {"attention": {REFUND: looked, CAPITAL: {"shift": 0.01}}}
    write_models(project.path, BASE | likely, TUNED | likely | attention)
    trained = {"instruction": REFUND, "output": "Open My Orders."}
    (project.path / "support.json").write_text(json.dumps([trained]), encoding="utf-8")
    project.runpytest_inprocess(
        *(f"{flag}={spec}" for flag, spec in MODELS.items()),
        "--llmdiff-train-data=support.json",
        "--llmdiff-json=report.json",
    ).assert_outcomes(passed=3, failed=3)
    data: dict[str, Any] = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return data


# The keys below these differ from run to run: options, resolved values, measures.
OPEN = (
    "settings.*", "resolved", "tests[].verdicts[].details", "tests[].many",
    "tests[].comparisons[].messages[].tools", "tests[].comparisons[].messages[].tool_calls",
    "tests[].comparisons[].base.tool_calls[].arguments",
    "tests[].comparisons[].tuned.tool_calls[].arguments",
)  # fmt: skip


def key_paths(value: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if path in OPEN[1:]:
        return
    if isinstance(value, dict):
        for key, held in value.items():
            if path == "settings":
                yield from key_paths(held, "settings.*")
            else:
                yield from key_paths(held, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for held in value:
            yield from key_paths(held, path + "[]")


def with_calls() -> Comparison:
    """A comparison whose prompt and replies have all that tools bring with them."""
    call = ToolCall(name="f")
    turns = [
        {"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [vars(call)]},
        {"role": "tool", "content": "y", "name": "f"},
    ]  # fmt: skip
    probe = make_probe(turns, tools=parse_tools([{"name": "f"}]))
    reply = Reply(text="", tool_calls=(call,))
    return Comparison(probe=probe, base=reply, tuned=reply)


def test_json_report_keys(real_report: dict[str, Any]) -> None:
    (row, *_) = (c for row in hostile_rows().values() for c in row["comparisons"])
    # Scripted models have no adapter and one head, and this run asks for no attribution.
    others = ("learnt", "carried", "attention", "attributions")
    of_others = {"tests": [{"comparisons": [{key: row[key] for key in others}]}]}
    of_tools = {"tests": [{"comparisons": [comparison_row(with_calls())]}]}
    found = [*key_paths(real_report), *key_paths(of_others), *key_paths(of_tools)]
    written = {path for path in found if not path.endswith("[]")}
    assert set(names("docs/json-report.md", "## Keys")) == written
    assert set(real_report["settings"]) == {option.name for option in OPTIONS}


def test_json_report_details(real_report: dict[str, Any]) -> None:
    written: dict[str, set[str]] = {}
    for verdict in (verdict for test in real_report["tests"] for verdict in test["verdicts"]):
        if verdict["set"] is None:  # a set has its details there
            written.setdefault(verdict["name"], set()).update(verdict["details"])
    for m in (template_measurement([], "the base's template"), adapter_measurement(None, 1.0)):
        written[m.name] = set(m.details)
    written["divergence"].add("at_least")  # for servers that return only the likeliest tokens
    described = {
        row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[2]))
        for row in rows("docs/json-report.md", "## Measures and their details")
    }
    assert described == written


def test_json_report_example_has_no_other_keys(real_report: dict[str, Any]) -> None:
    written = set(key_paths(real_report))
    (example,) = (b for b in BLOCKS if b.page.name == "json-report.md" and b.language == "json")
    shown = json.loads(example.text)
    assert set(key_paths(shown)) <= written
    assert shown["schema"] == real_report["schema"]
    assert list(shown["summary"]) == list(real_report["summary"])


# The layers


def test_the_architecture_lists_the_layers_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    shown = [" | ".join(re.findall(r"`([^`]+)`", row[0]))
             for row in rows("docs/architecture.md", "## Layers")]  # fmt: skip
    assert shown == contract["layers"]


# Hygiene


def tracked_texts() -> Iterator[tuple[Path, str]]:
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    for name in {
        *filter(None, found.stdout.split("\0")),
        *(str(p.relative_to(ROOT)) for p in PAGES),
    }:
        file = ROOT / name
        if not file.is_file():
            continue
        data = file.read_bytes()
        if b"\0" not in data:
            yield file, data.decode("utf-8")


def test_no_machine_paths_and_no_leftovers() -> None:
    # Assembled, so that this file does not match itself.
    paths = "|".join(f"/{name}/" for name in ("root", "work", "home", "Users"))
    notes = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X"))
    pattern = re.compile(rf"(?<![\w.$}}\])])(?:{paths})|\b(?:{notes})\b")
    for file, text in tracked_texts():
        found = pattern.search(text)
        assert found is None, f"{file.relative_to(ROOT)}: {found[0] if found else ''}"


def test_lengths() -> None:
    for name, most in (("README.md", 220), ("CONTRIBUTING.md", 80)):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= most, name
