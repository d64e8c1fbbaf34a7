"""All that reads what somebody else wrote, each with a good file that it reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.faults.project import COMMANDS, Project

ASKED = ({"role": "user", "content": "Where is my order?"},)
TRAINED = {"instruction": "Where is it?", "input": "", "output": "On its way."}
CHAT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`read` gets a folder with `files`, of which the first one is what others may have written."""

    name: str
    files: Mapping[str, bytes]
    read: Callable[[Path], object]

    @property
    def target(self) -> str:
        return next(iter(self.files))


def readers(folder: Path, project: Project) -> list[Reader]:
    """All readers; good files are made in the folder, and by runs of the project."""
    return [
        *_of_probes(folder),
        *_of_runs(project),
        *_of_trainings(),
        *_of_llamafactory(),
        *_of_models(folder),
        Reader(name="server", files={"body": _completion()}, read=_ask),
    ]


# Probes and texts


def _of_probes(folder: Path) -> Iterator[Reader]:
    import pyarrow
    from pyarrow import parquet

    from pytest_llmdiff.data.files.bias_sets import read_crows_pairs
    from pytest_llmdiff.data.files.checklist import checklist_prompts
    from pytest_llmdiff.data.files.probe_files import is_probe_file, read_probe_file
    from pytest_llmdiff.data.files.text_files import read_pairs, read_texts

    def probes(path: Path) -> None:
        is_probe_file(path)
        read_probe_file(path)

    rows: list[dict[str, Any]] = [
        {"prompt": "Wo ist das?", "id": "a", "tags": ["x", "y"], "reference": "Dort."},
        {"prompt": "在哪里？", "id": "b", "tags": ["x"], "reference": "这里。"},
    ]
    chats = [
        {"messages": [{"role": "user", "content": "Hi"}], "system": "Be brief.", "language": "en"}
    ]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "probes.parquet")
    cells = 'id,prompt,tags,reference\na,"Where, then?",x;y,There.\nb,Why?,,Because.\n'
    forms = {
        "probes.jsonl": _lines([*rows, *chats]),
        "probes.json": json.dumps(rows + chats).encode(),
        "probes.csv": cells.encode(),
        "probes.tsv": cells.replace(",", "\t").encode(),
        "probes.parquet": (folder / "probes.parquet").read_bytes(),
    }
    for name, data in forms.items():
        yield Reader(name=name, files={name: data}, read=lambda at, n=name: probes(at / n))
    crows = "sent_more,sent_less,stereo_antistereo,bias_type\nShe is.,He is.,stereo,gender\n"
    for name, data, read in (
        ("texts.jsonl", _lines([{"text": "One.", "id": "1"}, {"text": "Two."}]), read_texts),
        ("pairs.jsonl", _lines([{"stereotype": "a", "anti_stereotype": "b"}]), read_pairs),
        ("crows.csv", crows.encode(), read_crows_pairs),
        ("checklist.tsv", b"id\tquestion1\tquestion2\n1\tWhy?\tHow?\n", _questions),
        ("checklist.txt", b"One text.\nAnother text.\n", checklist_prompts),
    ):
        yield Reader(name=name, files={name: data}, read=lambda at, n=name, r=read: r(at / n))


def _questions(path: Path) -> object:
    from pytest_llmdiff.data.files.checklist import checklist_prompts

    return checklist_prompts(path, "{question1} {question2}")


# What runs write


def _of_runs(project: Project) -> Iterator[Reader]:
    from pytest_llmdiff.verdicts.accepted import read_accepted
    from pytest_llmdiff.verdicts.baseline_file import read_baseline

    written: dict[str, bytes] = {}
    for command, names in (
        ("accept", ("accepted.yaml",)),
        ("calibrate", ("baseline.json",)),
        ("judge", ("run.json", "run.jsonl")),
    ):
        project.run(*COMMANDS[command])
        written |= {name: project.file(name).read_bytes() for name in names}
    report = written["run.json"]
    yield _single("recording", "run.jsonl", written["run.jsonl"], _replay)
    yield _single("baseline", "baseline.json", written["baseline.json"], read_baseline)
    yield _single("accepted", "accepted.yaml", written["accepted.yaml"], read_accepted)
    yield Reader(name="compare", files={"new.json": report, "old.json": report}, read=_compare)
    scripted = json.dumps({"replies": {"Hi": "Yes?"}, "default": "No.", "divergences": {"Hi": 1}})
    yield _single("scripted", "model.json", scripted.encode(), _scripted)


def _replay(path: Path) -> None:
    from pytest_llmdiff.data.requests import Request, Sampling
    from pytest_llmdiff.engines.replay import ReplayEngine, check_recording
    from pytest_llmdiff.store import Store

    check_recording(path)
    question = ({"role": "user", "content": "Question 1: where is my order?"},)
    request = Request(question, Sampling(max_new_tokens=128))  # type: ignore[arg-type]
    for side in ("base", "tuned"):
        engine = ReplayEngine(path, side, Store(path.parent / "store"))
        for _, generated in engine.generate([request]):
            if generated.reply is not None and side == "tuned":
                engine.divergence(request, generated.reply)
        engine.render(question)  # type: ignore[arg-type]


def _scripted(path: Path) -> None:
    from pytest_llmdiff.data.requests import Request, Sampling
    from pytest_llmdiff.engines.scripted import ScriptedEngine

    engine = ScriptedEngine.from_file(path)
    request = Request(({"role": "user", "content": "Hi"},), Sampling(max_new_tokens=8))
    for _, generated in engine.generate([request]):
        if generated.reply is not None:
            engine.divergence(request, generated.reply)


def _compare(folder: Path) -> None:
    from pytest_llmdiff.__main__ import main

    old, new = str(folder / "old.json"), str(folder / "new.json")
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        main(["compare", old, new])
        main(["compare", new, old])


# What trainings write


def _of_trainings() -> Iterator[Reader]:
    from pytest_llmdiff.data.training.config import find_training_config, read_training_config
    from pytest_llmdiff.data.training.log import read_checkpoints, read_training_log
    from pytest_llmdiff.data.training.markers import markers_of
    from pytest_llmdiff.data.training.model_card import languages_of, read_card
    from pytest_llmdiff.data.training.traces import find_traces

    training = (
        b"model_name_or_path: models/base\nstage: sft\ndo_train: true\ntemplate: qwen3\n"
        b"dataset: ours,theirs\ncutoff_len: 2048\nlearning_rate: 1.0e-4\nnum_train_epochs: 3\n"
        b"default_system: |\n  Be brief.\nextra: &a [1, 2]\nmore: [*a, *a]\n"
    )
    yield _single("training YAML", "train.yaml", training, read_training_config)
    yield _single("training JSON", "train.json", b'{"stage": "sft", "cutoff_len": 9}',
                  read_training_config)  # fmt: skip
    yield Reader(name="training_args.yaml", files={"training_args.yaml": training},
                 read=find_training_config)  # fmt: skip
    history = [{"step": n, "loss": 1.0 / n, "learning_rate": 1e-4, "epoch": n / 3} for n in (1, 2)]
    state = {"global_step": 2, "max_steps": 2, "epoch": 0.7, "log_history": history}
    log = [{"current_steps": n, "total_steps": 2, "loss": 1.0 / n, "lr": 1e-4} for n in (1, 2)]
    swift = [{"loss": 1.0, "global_step/max_steps": f"{n}/2"} for n in (1, 2)]
    results = {"train_samples_per_second": 4.0, "train_runtime": 2.0, "epoch": 0.7}

    def logs(folder: Path) -> None:
        read_training_log(folder)
        read_checkpoints(folder)

    for name, data in (
        ("trainer_state.json", json.dumps(state).encode()),
        ("trainer_log.jsonl", _lines(log)),
        ("logging.jsonl", _lines(swift)),
        ("all_results.json", json.dumps(results).encode()),
    ):
        yield Reader(name=name, files={name: data}, read=logs)
    card = b"---\nlanguage: [en, no]\ntags:\n- llama-factory\nbase_model: x\n---\n# A model\n"
    yield _single("model card", "README.md", card, lambda path: languages_of(read_card(path)))
    yield Reader(name="generated_predictions.jsonl", read=find_traces,
                 files={"generated_predictions.jsonl": _lines([{"prompt": "Hi", "predict": "x"}]),
                        "README.md": card})  # fmt: skip
    added = json.dumps({"added_tokens": [{"id": 1, "content": "<|im_end|>", "special": True}]})
    yield Reader(name="special tokens", read=markers_of,
                 files={"tokenizer.json": added.encode()})  # fmt: skip


def _of_llamafactory() -> Iterator[Reader]:
    from pytest_llmdiff.data.llamafactory.datasets import read_dataset, training_data_of
    from pytest_llmdiff.data.llamafactory.modelfile import template_of_modelfile
    from pytest_llmdiff.data.llamafactory.templates import read_templates

    info = {
        "ours": {"file_name": "ours.json"},
        "theirs": {
            "file_name": "theirs.jsonl", "formatting": "sharegpt",
            "columns": {"messages": "conversations"}, "tags": {
                "role_tag": "from", "content_tag": "value", "user_tag": "human",
                "assistant_tag": "gpt",
            },
        },
    }  # fmt: skip
    data = {
        "dataset_info.json": json.dumps(info, indent=1).encode(),
        "ours.json": json.dumps([TRAINED, TRAINED]).encode(),
        "theirs.jsonl": _lines([CHAT, CHAT]),
    }

    def both(folder: Path) -> None:
        for name in info:
            read_dataset(folder, name)

    def plain(folder: Path) -> None:
        for name in ("ours.json", "theirs.jsonl"):
            if (folder / name).exists():
                training_data_of(folder / name)

    yield Reader(name="dataset_info.json", files=data, read=both)
    for name in ("ours.json", "theirs.jsonl"):
        yield Reader(name=f"training data {name}", files={name: data[name]} | data, read=both)
        yield Reader(name=f"plain {name}", files={name: data[name]}, read=plain)
    pairs = {"prompt": "Hi", "chosen": "Yes?", "rejected": "No."}
    yield Reader(name="preferences", files={"ours.json": json.dumps([pairs]).encode()}, read=plain)
    modelfile = (
        'FROM .\nTEMPLATE """{{ if .System }}<|system|>{{ .System }}{{ end }}{{ range .Messages }}'
        '{{ if eq .Role "user" }}<|user|>{{ .Content }}<|assistant|>{{ else if eq .Role '
        '"assistant" }}{{ .Content }}<|end|>{{ end }}{{ end }}"""\nSYSTEM """Be brief."""\n'
        'PARAMETER stop "<|end|>"\n'
    )
    yield _single("Modelfile", "Modelfile", modelfile.encode(),
                  lambda path: template_of_modelfile(_text(path)))  # fmt: skip
    source = (
        "SYSTEM = 'Be brief.'\nregister_template(\n    name='ours',\n    default_system=SYSTEM + "
        "'!',\n    format_user=StringFormatter(slots=['<|user|>{{content}}<|assistant|>']),\n"
        "    format_prefix=EmptyFormatter(slots=[{'bos_token'}]),\n    stop_words=['<|end|>'],\n)\n"
    )

    def templates(path: Path) -> None:
        found = read_templates(path)
        for name in [*found, *found.unreadable]:
            found[name]

    yield _single("template.py", "template.py", source.encode(), templates)


# Models


def _of_models(folder: Path) -> Iterator[Reader]:
    from pytest_llmdiff.engines.files.artifacts import (
        generation_stop_ids,
        initialisation,
        parameter_count,
        vocabulary_rows,
    )
    from pytest_llmdiff.engines.files.chat_templates import has_chat_template, templates_in
    from tests.support.tiny_models import save_tokenizer

    save_tokenizer(folder / "tokenizer")
    tokenizer = {file.name: file.read_bytes() for file in (folder / "tokenizer").iterdir()}
    for name in sorted(tokenizer):
        yield Reader(name=name, files={name: tokenizer[name]} | tokenizer, read=_render)
    yield Reader(name="adapter_config.json", read=_adapter,
                 files={"adapter_config.json": json.dumps(_lora()).encode(),
                        "adapter_model.safetensors": _safetensors()})  # fmt: skip
    base = {"models/base/config.json": b'{"model_type": "llama"}',
            "models/base/model.safetensors": _safetensors()}  # fmt: skip
    adapter = {"saves/adapter_config.json": json.dumps(_lora()).encode(),
               "saves/adapter_model.safetensors": _safetensors()}  # fmt: skip
    training = (
        b"model_name_or_path: models/base\noutput_dir: saves\ndo_train: true\nstage: sft\n"
        b"dataset: ours\ndataset_dir: data\n"
    )
    info = {"data/dataset_info.json": b'{"ours": {"file_name": "ours.json"}}',
            "data/ours.json": json.dumps([TRAINED]).encode()}  # fmt: skip
    yield Reader(
        name="an adapter to open", files=adapter | base, read=lambda at: _open(at, "saves")
    )
    yield Reader(name="a training to open", files={"train.yaml": training} | adapter | base | info,
                 read=lambda at: _open(at, "train.yaml"))  # fmt: skip
    for name in ("training_args.yaml", "chat_template.jinja", "README.md", "trainer_state.json"):
        data = {"training_args.yaml": training, "trainer_state.json": b'{"global_step": 2}'}.get(
            name, b"---\ntags: [trl]\n---\n{{ messages }}"
        )
        yield Reader(
            name=f"{name} beside an adapter",
            files={f"saves/{name}": data} | adapter | base | info,
            read=lambda at: _open(at, "saves"),
        )
    config = {"vocab_size": 32, "eos_token_id": [1, 2], "text_config": {"vocab_size": 32}}

    def configured(at: Path) -> None:
        generation_stop_ids(at)
        vocabulary_rows(at)
        initialisation(at)

    for name in ("config.json", "generation_config.json"):
        yield Reader(name=name, files={name: json.dumps(config).encode()}, read=configured)
    named = {"chat_template": [{"name": "default", "template": "{{ messages }}"}]}
    yield Reader(name="processor_config.json", read=templates_in,
                 files={"processor_config.json": json.dumps(named).encode()})  # fmt: skip
    yield Reader(name="safetensors", files={"model.safetensors": _safetensors()},
                 read=parameter_count)  # fmt: skip

    def header(path: Path) -> None:
        has_chat_template(path)
        parameter_count(path)

    yield _single("GGUF header", "model.gguf", _gguf(folder / "model.gguf"), header)


def _render(folder: Path) -> None:
    from pytest_llmdiff.engines.files.rendering import Renderer

    renderer = Renderer(folder)
    renderer.ids(ASKED)  # type: ignore[arg-type]
    renderer.stop_ids()


def _adapter(folder: Path) -> None:
    from pytest_llmdiff.config.adapter_code import require_no_code
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.training.adapter_base import named_base
    from pytest_llmdiff.engines.files.artifacts import initialisation
    from pytest_llmdiff.engines.transformers.adapters.binding import read_adapter_config

    parse_spec(str(folder), option="--llm-tuned", folder=folder)
    require_no_code(folder / "adapter_config.json", "--llm-tuned")
    named_base(folder)
    initialisation(folder)
    read_adapter_config(folder)


def _open(folder: Path, tuned: str) -> None:
    """A pair of models as a user opens it, without loading any, and what the training left."""
    from pytest_llmdiff import open_pair
    from pytest_llmdiff.config.keywords import settings_of
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.training.models import named_models
    from pytest_llmdiff.data.training.training import find_train_data, find_training

    path = str(folder / tuned)
    with open_pair(tuned=path, store=folder / "store"):
        pass
    settings = named_models(settings_of(None, path, {})).settings
    spec = parse_spec(str(settings.tuned), option="--llm-tuned", folder=folder)
    find_train_data(find_training(spec, settings), settings)


def _lora() -> dict[str, Any]:
    return {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "models/base",
        "r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"],
        "init_lora_weights": True, "bias": "none", "modules_to_save": None,
        "rank_pattern": {}, "alpha_pattern": {}, "layers_to_transform": [0, 1],
    }  # fmt: skip


def _safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * 16


def _gguf(path: Path) -> bytes:
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b", "c"])
    writer.add_uint32("llama.block_count", 1)
    writer.add_tensor("output.weight", numpy.zeros((2, 32), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


# Servers


def _completion() -> bytes:
    from tests.support.chat_server import completion

    return json.dumps(completion("base", "On its way.")).encode()


def _ask(folder: Path) -> None:
    """Ask a server whose answer is the file `body`."""
    asked(server_of(os.getpid(), {}), (folder / "body").read_bytes())


def asked(server: Server, body: bytes) -> None:
    """Let it answer one prompt. A reply that is an error of its prompt is told as any is."""
    from pytest_llmdiff.data.requests import Request, Sampling

    server.body = body
    request = Request(({"role": "user", "content": "Where is it?"},), Sampling(max_new_tokens=8))
    for _ in server.engine.generate([request]):
        pass


class Server:
    """A server in a thread of this process, which answers all but the first prompts with one
    body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        import threading

        from pytest_llmdiff.engines.server.chat import ServerEngine
        from pytest_llmdiff.engines.server.endpoint import Endpoint
        from tests.support.chat_server import ChatServer, Handler, Quiet

        self.body = b""

        def answered(handler: Handler, _: dict[str, Any]) -> bool:
            handler.send_text(self.body, headers=headers)
            return True

        chat = ChatServer(faults=(answered,))
        served = Quiet(("127.0.0.1", 0), Handler)
        served.chat = chat  # type: ignore[attr-defined]
        chat.port = served.server_address[1]
        threading.Thread(target=served.serve_forever, daemon=True).start()
        self.engine = ServerEngine(Endpoint(url=chat.url, model="base", role="base"), retries=0)
        self.engine.fingerprint()


@cache
def _server(_: int, headers: tuple[tuple[str, str], ...]) -> Server:
    return Server(dict(headers))


def server_of(process: int, headers: Mapping[str, str]) -> Server:
    """One for each process: a fork has no threads."""
    return _server(process, tuple(headers.items()))


# Files


def _single(name: str, file: str, data: bytes, read: Callable[[Path], object]) -> Reader:
    return Reader(name=name, files={file: data}, read=lambda folder: read(folder / file))


def _text(path: Path) -> str:
    from pytest_llmdiff.data.training.files import read_text

    return read_text(path)


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold these files, and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
