"""Bad input ends the run with one clear error and pytest's exit code for it, in both modes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.projects import needs_native_toml

BASE = "--llm-base=scripted:base.json"
TUNED = "--llm-tuned=scripted:tuned.json"
ADAPTER = '{"peft_type": "LORA", "base_model_name_or_path": "x"}'


@pytest.fixture
def files(project: pytest.Pytester) -> Path:
    """Folders and files that look like models and are not usable as given."""
    root = project.path
    for name, held in {
        "empty": [],
        "pickled": ["config.json", "pytorch_model.bin"],
        "pickled_adapter": ["adapter_config.json", "adapter_model.bin"],
        "no_weights": ["config.json"],
        "adapter": ["adapter_config.json", "adapter_model.safetensors"],
        "weights": ["config.json", "model.safetensors"],
        "ggufs": ["model.gguf"],
    }.items():
        (root / name).mkdir()
        for file in held:
            (root / name / file).write_text(ADAPTER, encoding="utf-8")
    (root / "file.txt").write_text("x", encoding="utf-8")
    (root / "broken.json").write_text('{"answers": {}}', encoding="utf-8")
    (root / "engines.py").write_text(
        "nothing = 3\ndef broken(): raise RuntimeError('no disk')\n"
        "def leaving(): raise SystemExit('bye')\n",
        encoding="utf-8",
    )
    (root / "raising.py").write_text("raise RuntimeError('no licence')\n", encoding="utf-8")
    (root / "leaving.py").write_text("import sys; sys.exit(3)\n", encoding="utf-8")
    (root / "skipping.py").write_text(
        "import pytest; pytest.importorskip('nowhere')\n", encoding="utf-8"
    )
    (root / "list.jinja").write_bytes(b"\xff\xfe")
    (root / "weights_list").mkdir()
    (root / "weights_list" / "config.json").write_text("[]", encoding="utf-8")
    (root / "weights_list" / "model.safetensors").write_bytes(b"")
    project.makepyfile("def test_it(llm_pair): pass")
    return root


CASES: list[tuple[list[str], str]] = [
    (["--llm-base=", TUNED], "--llm-base is empty (an unset variable?)*"),
    ([BASE, "--llm-tuned= "], "--llm-tuned is empty*"),
    ([BASE], "--llm-base is given without --llm-tuned*"),
    ([TUNED], "--llm-tuned: scripted:tuned.json does not say which model it was made from*"),
    (["--llm-base=no/such/folder", TUNED], "--llm-base: there is no folder or .gguf file*"),
    (["--llm-base=empty", TUNED], "*neither adapter_config.json (a PEFT adapter) nor config.json*"),
    (["--llm-base=ggufs", TUNED], "*name its file: ggufs/model.gguf"),
    (["--llm-base=pickled", TUNED], "*has only pickled weights (pytorch_model.bin)*"),
    (["--llm-base=weights", "--llm-tuned=pickled_adapter"], "*only pickled weights (adapter_mod*"),
    (["--llm-base=no_weights", TUNED], "*has a configuration but no .safetensors weights"),
    (["--llm-base=adapter", TUNED], "--llm-base: adapter is a PEFT adapter; the base is*"),
    ([BASE, "--llm-tuned=adapter"], "*which needs the weights of its base in --llm-base*"),
    (["--llm-base=vllm:empty", TUNED], "--llm-base: the folder empty has neither adapter_con*"),
    (["--llm-base=vllm:", TUNED], "--llm-base: vllm:: the form is vllm:LOCATION*"),
    (["--llm-base=vllm:ggufs/model.gguf", TUNED], "*the form is vllm:LOCATION, where that is a*"),
    (["--llm-base=vllm:scripted:base.json", TUNED], "*base.json: the form is vllm:LOCATION*"),
    (["--llm-base=vllm:weights", TUNED], "*vllm:weights needs the package vllm: pip install*"),
    ([BASE, TUNED, "--llmdiff-vllm=4"], "--llmdiff-vllm: '4' is not a JSON object of engine arg*"),
    (
        [BASE, TUNED, '--llmdiff-vllm={"dtype": "half"}'],
        "--llmdiff-vllm: 'dtype' is set by this plugin: give --llmdiff-dtype",
    ),
    ([BASE, TUNED, "--llmdiff-server-parameters=[1]"], "*server-parameters: '[[]1]' is not a*"),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"turned": {"top_p": null}}'],
        "--llmdiff-server-parameters: 'turned' is none of the sides base, tuned, served, judge;*",
    ),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"base": {}, "top_p": null}'],
        "--llmdiff-server-parameters: 'top_p' is none of the sides base, tuned, served, judge;*",
    ),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"base": 3}'],
        "--llmdiff-server-parameters: 'base' takes an object of parameters, not 3",
    ),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"served": {"stream": true}}'],
        "--llmdiff-server-parameters: 'stream' is set by this plugin",
    ),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"max_tokens": 9}'],
        "--llmdiff-server-parameters: 'max_tokens' is set by this plugin: give *-max-new-tokens",
    ),
    (
        [BASE, TUNED, '--llmdiff-server-parameters={"seed": {"rename": 1}}'],
        "--llmdiff-server-parameters: 'seed' takes a value, null to drop it, or *",
    ),
    (
        ["--llm-base=http://127.0.0.1/v1", TUNED],
        "*http(s)://HOST*, with the model after #",
    ),
    (["--llm-base=http:///v1#m", TUNED], "*the form is http(s)://HOST*"),
    (["--llm-base=http://127.0.0.1:none/v1#m", TUNED], "*Port could not be cast*; the form is*"),
    (
        ["--llm-base=http://me:secret@host:none/v1#m", TUNED],
        "--llm-base: the URL: Port could not be cast*; the form is*",
    ),
    (["--llm-base=~nobody-of-that-name/base", TUNED], "--llm-base: *~nobody*home directory*"),
    (["--llm-base=http://me:secret@host/v1#m", TUNED], "--llm-base: the URL has a user*API_KEY"),
    (["--llm-base=http://host/v1?key=secret#m", TUNED], "*a password or a query; the form*API_KEY"),
    (
        ["--llm-base=http://host/v1#m", TUNED, "--llmdiff-template=chat.jinja"],
        "--llmdiff-template: --llm-base is a server, which renders prompts with*",
    ),
    (
        ["--llm-base=http://host/v1#m", "--llm-tuned=adapter"],
        "*is a PEFT adapter, which needs the weights of its*",
    ),
    ([BASE, TUNED, "--llmdiff-tokenizer=empty"], "--llmdiff-tokenizer: there is no tokenizer at*"),
    ([BASE, TUNED, "--llmdiff-tokenizer=none"], "*no tokenizer at 'none'; it takes the folder of*"),
    ([BASE, TUNED, "--llmdiff-tokenizer=package:pytest/x"], "--llmdiff-tokenizer: package 'pyt*"),
    (["--llm-base=replay:none.jsonl", TUNED], "*there is no file *none.jsonl"),
    (["--llm-base=replay:file.txt", TUNED], "replay:*file.txt, line 1: *--llmdiff-record*"),
    (["--llm-base=scripted:broken.json", TUNED], "scripted:*unknown key answers; expected*"),
    (["--llm-base=package:no_such_package/x", TUNED], "*no installed package named 'no_such_pac*"),
    (["--llm-base=package:pytest/none.gguf", TUNED], "*package 'pytest' has no 'none.gguf'*"),
    (["--llm-base=python:engines", TUNED], "*the form is python:module:object*"),
    (["--llm-base=python:missing:x", TUNED], "--llm-base: cannot import 'missing'*"),
    (["--llm-base=python:engines:none", TUNED], "--llm-base: 'engines' has no 'none'*"),
    (["--llm-base=python:engines:nothing", TUNED], "*is not an engine: it needs the methods*"),
    (["--llm-base=python:engines:broken", TUNED], "*raised RuntimeError when it was called *no d*"),
    (
        ["--llm-base=python:raising:x", TUNED],
        "*'raising' raised RuntimeError on im*: no licence",
    ),
    (["--llm-base=python:leaving:x", TUNED], "*'leaving' raised SystemExit on import: 3"),
    (["--llm-base=python:skipping:x", TUNED], "*'skipping' raised Skipped on import: *nowhere*"),
    (
        ["--llm-base=python:engines:leaving", TUNED],
        "*raised SystemExit when it was *bye (*engines.py:3)",
    ),
    (["--llm-base=weights_list", TUNED], "*config.json, line 1: expected a JSON object"),
    ([f"--llm-base={'n' * 300}", TUNED], "*cannot be used as a path (File name too long)"),
    (["--llm-base=scripted:~nobody-here/x.json", TUNED], "*cannot be used as a path (*home*"),
    (["--llm-base=ORG/NAME@main", TUNED], "*nor available as a Hugging Face id*"),
    ([BASE, TUNED, "--llmdiff-max-new-tokens=0"], "*'0' is not a whole number from 1"),
    ([BASE, TUNED, "--llmdiff-dtype=fp8"], "*'fp8' is not auto, float32, bfloat16 or float16"),
    ([BASE, TUNED, "--llmdiff-temperature=nan"], "*'nan' is not a number from 0"),
    ([BASE, TUNED, "--llmdiff-top-p=0"], "*'0' is not a number above 0, at most 1"),
    ([BASE, TUNED, "--llmdiff-template=none.jinja"], "*there is no file *none.jinja; it takes*"),
    ([BASE, TUNED, "--llmdiff-template-kwargs=[1]"], "*is not a JSON object such as*"),
    ([BASE, TUNED, "--llmdiff-toxicity=perspective"], "*'perspective' is not detoxify:VARIANT*"),
    ([BASE, TUNED, f"--llmdiff-template={'n' * 300}"], "--llmdiff-template: *name too long)"),
    ([BASE, TUNED, "--llmdiff-template=list.jinja"], "*list.jinja, line 1: expected UTF-8 text*"),
    ([BASE, TUNED, f"--llmdiff-tokenizer={'n' * 300}"], "--llmdiff-tokenizer: *name too long)"),
    ([BASE, TUNED, f"--llmdiff-train-config={'n' * 300}"], "--llmdiff-train-config: *too long)"),
    ([BASE, TUNED, f"--llmdiff-train-data={'n' * 300}#x"], "--llmdiff-train-data: *too long)"),
    ([BASE, TUNED, f"--llmdiff-json={'n' * 300}"], "--llmdiff-json: *name too long)"),
    ([BASE, TUNED, f"--llmdiff-device={'n' * 3000}"], f"*: '{'n' * 199}… is not auto, cpu, *"),
    (
        [BASE, TUNED, f"--llmdiff-vllm={'[' * 100_000}"],
        "--llmdiff-vllm: '*… is not a JSON ob*",
    ),
    ([BASE, TUNED, "--llmdiff-json=file.txt/x"], "*x is impossible, since *file.txt is a file"),
    ([BASE, TUNED, "--llmdiff-store=file.txt/x"], "--llmdiff-store: *since *file.txt is a file"),
    ([BASE, TUNED, "--llmdiff-store=file.txt"], "--llmdiff-store: *file.txt is a file; give a f*"),
    ([BASE, TUNED, "--llmdiff-record=/dev/null"], "*/dev/null is not a regular file; give another"),
    ([BASE, TUNED, "--llmdiff-calibrate=/dev/zero"], "*/dev/zero is not a regular file; give*"),
    ([BASE, TUNED, "--llmdiff-llamafactory=nowhere"], "--llmdiff-llamafactory: *nowhere does not*"),
    (
        [BASE, TUNED, "--llmdiff-json=x", "--llmdiff-html=empty/../x"],
        "--llmdiff-html: *x is the file of --llmdiff-json too, and would overwrite it*",
    ),
    (
        [BASE, TUNED, "--llmdiff-json=x.xml", "--junitxml=empty/../x.xml"],
        "--llmdiff-json: *x.xml is the file of --junitxml too, and would overwrite it*",
    ),
    (
        [BASE, TUNED, "--llmdiff-markdown=x.log", "--log-file=x.log"],
        "--llmdiff-markdown: *x.log is the file of --log-file too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-html=x.log", "-o", "log_file=x.log"],
        "--llmdiff-html: *x.log is the file of --log-file too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-calibrate=x", "--llmdiff-record=x"],
        "--llmdiff-calibrate: *x is the file of --llmdiff-record too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-json=llmdiff-accepted.yaml"],
        "--llmdiff-json: *is the file of --llmdiff-accepted too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-baseline=b.json", "--llmdiff-markdown=b.json"],
        "--llmdiff-markdown: *b.json is the file of --llmdiff-baseline too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-json=tuned.json"],
        "--llmdiff-json: *tuned.json is the file of --llm-tuned too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-calibrate=llmdiff-accepted.yaml"],
        "--llmdiff-calibrate: * is the file of --llmdiff-accepted too*",
    ),
    (
        [BASE, TUNED, "--llmdiff-record=tuned.json"],
        "--llmdiff-record: *tuned.json is the file of --llm-tuned too*",
    ),
    ([BASE, TUNED, "--llmdiff-json=empty"], "*empty is a folder; give a file"),
    ([BASE, TUNED, "--llmdiff-html=empty"], "--llmdiff-html: *empty is a folder; give a file"),
    ([BASE, TUNED, "--llmdiff-markdown=empty"], "--llmdiff-markdown: *empty is a folder; give a*"),
    ([BASE, TUNED, "-o", "llmdiff_seed=-1"], "llmdiff_seed in ini: '-1' is not a whole number*"),
]


@pytest.mark.parametrize(("args", "message"), CASES, ids=[case[1][:32] for case in CASES])
def test_usage_error(
    project: pytest.Pytester, files: Path, mode: list[str], args: list[str], message: str
) -> None:
    result = project.runpytest_inprocess(*args, *mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: llmdiff: {message}"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    assert not (files / ".llmdiff").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own")
@pytest.mark.parametrize("name", ["json", "record", "accepted", "store", "tokenizer", "template"])
@pytest.mark.parametrize("place", ["circle", "circle/x.html"])
def test_links_that_lead_in_a_circle(
    project: pytest.Pytester, files: Path, name: str, place: str
) -> None:
    (files / "circle").symlink_to("back")
    (files / "back").symlink_to("circle")
    result = project.runpytest_inprocess(BASE, TUNED, f"--llmdiff-{name}={place}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--llmdiff-{name}: '{place}' cannot be used as a path (*"])


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own")
def test_a_default_that_leads_in_a_circle(project: pytest.Pytester, files: Path) -> None:
    (files / "llmdiff-accepted.yaml").symlink_to("llmdiff-accepted.yaml")
    result = project.runpytest_inprocess(BASE, TUNED, "--llmdiff-accept")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llmdiff-accepted: * cannot be used as a path (*"])


def test_required_models(project: pytest.Pytester, mode: list[str]) -> None:
    """Only tests that use a model need one: editors and people may list, and run the others."""
    project.makepyfile("def test_model(llm_pair): pass\ndef test_plain(): pass")
    required = ("-o", "llmdiff_required=true", *mode)
    result = project.runpytest_inprocess(*required)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["llmdiff_required is set, but no models are given: add --llm-b*"])
    assert "Traceback" not in result.stdout.str()
    assert project.runpytest_inprocess(*required, "-k", "plain").ret == 0
    for listing in ("--collect-only", "--help", "--markers", "--fixtures", "--setup-plan"):
        assert project.runpytest_inprocess(*required, listing).ret == 0


def test_an_unknown_option_of_a_later_version_is_refused(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")
    assert project.runpytest_inprocess("--llmdiff-nonsense=1").ret == 4


@needs_native_toml
def test_native_and_string_ini_values(project: pytest.Pytester) -> None:
    """TOML numbers, strings and flags all reach the settings; the wrong kind is refused."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.llmdiff("x")
        def test_it(comparison): assert len(comparison.base.text) == 3
        """
    )
    toml = project.path / "pytest.toml"
    text = toml.read_text(encoding="utf-8")
    for value in ("3", '"3"'):
        toml.write_text(f"{text}\nllmdiff_max_new_tokens = {value}\n", encoding="utf-8")
        project.runpytest_inprocess(BASE, TUNED).assert_outcomes(passed=1)
    toml.write_text(f"{text}\nllmdiff_max_new_tokens = true\n", encoding="utf-8")
    result = project.runpytest_inprocess(BASE, TUNED)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*llmdiff_max_new_tokens in ini: True is not a whole number*"])


def test_a_hub_model_in_the_local_cache_is_found_with_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    from pytest_llmdiff.config.specs import fetch, parse_spec

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--org--name"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "v1").write_text(commit, encoding="utf-8")
    (snapshot / "adapter_config.json").write_text(json.dumps({}), encoding="utf-8")
    (snapshot / "adapter_model.safetensors").write_bytes(b"")
    spec = parse_spec("org/name@v1", option="--llm-tuned", folder=tmp_path)
    assert (spec.kind, spec.repo, spec.revision) == ("adapter", "org/name", commit)
    assert fetch(spec) == snapshot
