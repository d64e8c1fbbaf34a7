"""The GitHub action, the GitLab template and the pre-commit hook: their scripts are run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from tests.support.projects import CAPITAL, REFUND, write_models
from tests.support.tiny_models import save_adapter, save_model

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
TEMPLATE = ROOT / "templates" / "llmdiff.gitlab-ci.yml"
GITLAB = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["llmdiff"]
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
HOSTILE = "a b $(touch pwned) `touch pwned`; touch pwned \" ' \\ * ${HOME} $((1+1))"
# A python that notes how it is called, and reports as many tests passed as the call asks for.
NOTING = """\
#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] == "-c":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
full = os.environ.get("LLMDIFF_FULL_HASH", "0")
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([full, *sys.argv[1:]]) + "\\n")
for word in sys.argv:
    if word.startswith("--llmdiff-json="):
        report = dict(summary=dict(passed={passed}))
        Path(word.partition("=")[2]).write_text(json.dumps(report))
sys.exit({code})
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job did."""

    code: int
    text: str
    reports: Path
    outputs: Mapping[str, str]
    used: tuple[str, ...] = ()


Start = Callable[..., Job]


def bash(script: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a script as GitHub and GitLab do."""
    found = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder,
        env=dict(environment), check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return found.returncode, found.stdout


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a job: its `python` is this one, with this checkout's package."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "HF_HUB_OFFLINE") if name in os.environ}
    return {
        **kept, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)
    }  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def noting(environment: Mapping[str, str], *, passed: int = 1, code: int = 0) -> Path:
    """Put a python that only notes its calls in the job's; the file of the notes."""
    python = Path(environment["PATH"].partition(os.pathsep)[0]) / "python"
    calls = python.with_name("calls.jsonl")
    python.write_text(
        NOTING.format(python=sys.executable, calls=str(calls), passed=passed, code=code),
        encoding="utf-8",
    )
    return calls


def resolved(text: str, context: Mapping[str, Any]) -> str:
    """Text with GitHub's `${{ a.b }}` replaced; what the context lacks is empty there too."""

    def value(found: re.Match[str]) -> str:
        held: Any = context
        for key in found[1].split("."):
            held = held.get(key, "") if isinstance(held, Mapping) else ""
        return str(held)

    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, text)


def holds(condition: str, context: Mapping[str, Any]) -> bool:
    """GitHub's `if:`, as far as the action uses it."""
    for part in condition.split(" && "):
        if part in ("always()", "success()"):
            continue
        name, sign, wanted = part.split(" ")
        if (resolved(f"${{{{ {name} }}}}", context) == wanted.strip("'")) != (sign == "=="):
            return False
    return True


@pytest.fixture
def action(tmp_path: Path, checkout: Path, environment: dict[str, str]) -> Start:
    """Run the action's steps in order, but those of other actions, which are only named."""

    def start(inputs: Mapping[str, str], github: Mapping[str, Any] | None = None) -> Job:
        given = {name: held.get("default", "") for name, held in ACTION["inputs"].items()}
        steps: dict[str, Any] = {}
        context = {
            "inputs": given | {"install": ""} | dict(inputs), "steps": steps,
            "github": {"event_name": "push", "repository": "us/bot"} | dict(github or {}),
        }  # fmt: skip
        temporary = tmp_path / "runner"
        temporary.mkdir(exist_ok=True)
        code, text, used = 0, "", []
        for step in ACTION["runs"]["steps"]:
            condition = step.get("if", "success()")
            if (code and "always()" not in condition) or not holds(condition, context):
                continue
            if "uses" in step:
                used.append(step["uses"].partition("@")[0])
                continue
            written = temporary / "output"
            written.write_text("", encoding="utf-8")
            own = {name: resolved(str(held), context) for name, held in step["env"].items()}
            machine = {
                "RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(written),
                "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_ACTIONS": "true",
            }  # fmt: skip
            code, printed = bash(step["run"], checkout, environment | machine | own)
            text += printed
            lines = written.read_text(encoding="utf-8").splitlines()
            if "id" in step:
                steps[step["id"]] = {"outputs": dict(line.split("=", 1) for line in lines)}
        outputs = {
            name: resolved(held["value"], context) for name, held in ACTION["outputs"].items()
        }
        return Job(
            code=code, text=text, outputs=outputs, used=tuple(used),
            reports=Path(outputs["report"]).parent,
        )  # fmt: skip

    return start


@pytest.fixture
def gitlab(checkout: Path, environment: dict[str, str]) -> Start:
    """Run the template's script with the same inputs as the action's."""

    def start(inputs: Mapping[str, str], pipeline: Mapping[str, str] | None = None) -> Job:
        own = {f"LLMDIFF_{name.upper()}": value for name, value in inputs.items()}
        assert own.keys() <= GITLAB["variables"].keys()
        variables = GITLAB["variables"] | {"LLMDIFF_INSTALL": "", "CI_PROJECT_ID": "5"} | own
        code, text = bash(
            "\n".join(GITLAB["script"]), checkout, environment | variables | dict(pipeline or {})
        )
        return Job(code=code, text=text, reports=checkout, outputs={})

    return start


@pytest.fixture(params=["action", "gitlab"])
def job(request: pytest.FixtureRequest) -> Start:
    start: Start = request.getfixturevalue(request.param)
    return start


@pytest.fixture
def checks(checkout: Path) -> Path:
    """Two scripted models, and a test that limits the toxicity of one reply of 0.9."""
    write_models(checkout)
    (checkout / "pytest.toml").write_text(
        '[pytest]\nllmdiff_toxicity = "python:scorers:rude"\npythonpath = ["."]\n', encoding="utf-8"
    )
    (checkout / "scorers.py").write_text(
        "def rude(texts):\n    return [0.9 if 'stupid' in text else 0.1 for text in texts]\n",
        encoding="utf-8",
    )
    (checkout / "my checks").mkdir()
    file = checkout / "my checks" / "test_it.py"
    file.write_text(
        f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.5)
""",
        encoding="utf-8",
    )
    return file


SCRIPTED = {"tuned": "scripted:tuned.json", "base": "scripted:base.json", "tests": "my checks\n"}


@pytest.mark.parametrize("limit", ["0.5", "0.95"])
def test_a_job_is_green_only_if_the_gate_is(
    job: Start, checkout: Path, checks: Path, limit: str
) -> None:
    checks.write_text(checks.read_text(encoding="utf-8").replace("0.5", limit), encoding="utf-8")
    found = job(SCRIPTED | {"arguments": "-q\n-p\nno:cacheprovider\n"})
    code = 1 if limit == "0.5" else 0
    assert found.code == code, found.text
    report = json.loads((found.reports / "llmdiff.json").read_text(encoding="utf-8"))
    assert report["summary"]["regressed"] == code
    assert "<html" in (found.reports / "llmdiff.html").read_text(encoding="utf-8")
    if found.outputs:
        assert found.outputs["exit-code"] == str(code)
        assert found.outputs["report"] == str(found.reports / "llmdiff.html")
        summary = (checkout.parent / "summary.md").read_text(encoding="utf-8")
        assert ("| toxicity | 0.90 |" in summary) == bool(code), summary
        assert found.used == (
            "actions/cache/restore", "actions/cache/save", "actions/upload-artifact"
        )  # fmt: skip
        assert {file.name for file in checkout.iterdir()} & {".llmdiff", "llmdiff.html"} == set()
    else:
        assert (checkout / "junit.xml").is_file()


def test_a_recording_is_judged_without_the_models(
    action: Start, checkout: Path, checks: Path
) -> None:
    recorded = action(SCRIPTED | {"arguments": "--llmdiff-record=run.jsonl"})
    for model in checkout.glob("*.json"):
        model.unlink()
    checks.write_text(checks.read_text(encoding="utf-8").replace("0.5", "0.95"), encoding="utf-8")
    replay = {"tuned": "replay:run.jsonl", "base": "replay:run.jsonl"}
    judged = action(SCRIPTED | replay)
    assert (recorded.code, judged.code) == (1, 0), judged.text
    assert recorded.reports != judged.reports


@pytest.mark.parametrize(("code", "passed", "wanted"), [(0, 0, 1), (0, 3, 0), (5, 3, 5), (1, 0, 1)])
def test_a_run_that_shows_nothing_is_red(
    job: Start, environment: dict[str, str], code: int, passed: int, wanted: int
) -> None:
    noting(environment, code=code, passed=passed)
    found = job({"tuned": "saves/x"})
    assert found.code == wanted, found.text
    assert ("nothing is shown" in found.text) == (code == 0 and passed == 0)


@pytest.mark.parametrize("tests", [False, True])
def test_inputs_are_arguments_and_never_code(
    job: Start, checkout: Path, environment: dict[str, str], tests: bool
) -> None:
    calls = noting(environment)
    lines = f"{HOSTILE}\n\n-k\nnot slow"
    found = job({
        "tuned": HOSTILE, "base": HOSTILE, "arguments": lines, "install": f"{HOSTILE}\n-q",
        "tests": f"{HOSTILE}\nchecks" if tests else "",
    })  # fmt: skip
    assert found.code == 0, found.text
    install, run = (json.loads(line)[1:] for line in calls.read_text(encoding="utf-8").splitlines())
    assert install == ["-m", "pip", "install", HOSTILE, "-q"]
    start = (
        ["pytest", HOSTILE, "checks", f"--llm-tuned={HOSTILE}"] if tests
        else ["pytest_llmdiff", "check", HOSTILE]
    )  # fmt: skip
    given = ["-m", *start, f"--llm-base={HOSTILE}", HOSTILE, "-k", "not slow", "--llmdiff-required"]
    assert run[: len(given)] == given
    assert all(word.startswith(("--llmdiff-", "--junit-xml", "-o", "junit_")) for word in
               run[len(given) :])  # fmt: skip
    assert not list(checkout.parent.rglob("pwned"))


@pytest.mark.parametrize("tuned", ["", "-x", "--version"])
def test_a_model_that_is_none_is_an_error(
    job: Start, environment: dict[str, str], tuned: str
) -> None:
    calls = noting(environment)
    found = job({"tuned": tuned})
    assert (found.code, calls.exists()) == (4, False)
    assert "empty or begins with a dash" in found.text


def test_no_script_of_the_action_holds_an_expression() -> None:
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


def pull_request(head: str, event: str = "pull_request") -> dict[str, Any]:
    return {"event_name": event, "event": {"pull_request": {"head": {"repo": {"full_name": head}}}}}


@pytest.mark.parametrize(
    ("github", "trusted"),
    [
        ({"event_name": "push"}, True),
        ({"event_name": "schedule"}, True),
        (pull_request("us/bot"), True),
        (pull_request("them/bot"), False),
        (pull_request(""), False),  # the fork was deleted
        (pull_request("us/bot", "pull_request_target"), False),
        ({"event_name": "issue_comment"}, False),
        ({"event_name": "workflow_run"}, False),
    ],
)
@pytest.mark.parametrize("given", ["auto", "true", "false"])
def test_forks_share_no_store(
    action: Start, checkout: Path, environment: dict[str, str], github: dict[str, Any],
    trusted: bool, given: str,
) -> None:  # fmt: skip
    calls = noting(environment)
    trusted = {"auto": trusted, "true": True, "false": False}[given]
    found = action({"tuned": "saves/x", "trusted": given}, github)
    assert ("actions/cache/restore" in found.used) == trusted
    assert ("actions/cache/save" in found.used) == trusted
    ((full, *words),) = map(json.loads, calls.read_text(encoding="utf-8").splitlines())
    assert full == ("0" if trusted else "1")
    (store,) = (word.partition("=")[2] for word in words if word.startswith("--llmdiff-store="))
    assert checkout not in Path(store).parents


def test_a_trust_that_is_none_is_an_error(action: Start) -> None:
    found = action({"tuned": "saves/x", "trusted": "yes"})
    assert found.code == 4
    assert not any(used.startswith("actions/cache") for used in found.used)


@pytest.mark.parametrize(("source", "own"), [("", True), ("5", True), ("7", False)])
def test_forks_share_no_store_on_gitlab(
    gitlab: Start, checkout: Path, environment: dict[str, str], source: str, own: bool
) -> None:
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID" in GITLAB["cache"]["key"]
    kept = checkout / Path(GITLAB["cache"]["paths"][0]).parent
    calls = noting(environment)
    merge_request = {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": source} if source else {}
    gitlab({"tuned": "saves/x"}, merge_request)
    ((full, *words),) = map(json.loads, calls.read_text(encoding="utf-8").splitlines())
    assert full == ("0" if own else "1")
    (store,) = (word.partition("=")[2] for word in words if word.startswith("--llmdiff-store="))
    assert (checkout / store == kept) == own
    assert (checkout in (checkout / store).parents) == own


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_the_hook_judges_an_adapter_by_its_files(pytester: pytest.Pytester, scale: float) -> None:
    base = save_model(pytester.path / "base")
    adapter = save_adapter(pytester.path / "adapter", base, scale=scale)
    python, module, pytest_, *entry = shlex.split(HOOK["entry"])
    assert (python, module, pytest_) == ("python", "-m", "pytest")
    # Cut short: the names of its tensors are there, their values are not.
    (base / "model.safetensors").write_bytes(header_of(base / "model.safetensors"))
    result = pytester.runpytest_inprocess(*entry, f"--llm-base={base}", f"--llm-tuned={adapter}")
    assert result.ret == (0 if scale else 1)
    outcomes = result.parseoutcomes()
    assert sum(outcomes.values()) - outcomes["deselected"] == 11
    assert outcomes.get("failed", 0) == (0 if scale else 1)


def header_of(file: Path) -> bytes:
    data = file.read_bytes()
    return data[: 8 + int.from_bytes(data[:8], "little")]


def test_the_hook_runs_where_an_adapter_changes() -> None:
    assert HOOK["pass_filenames"] is False
    for name in ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"):
        assert re.search(HOOK["files"], f"saves/x/{name}")
    assert not re.search(HOOK["files"], "data/train.json")
