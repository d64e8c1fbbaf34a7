"""Small inputs that would take all time or memory: each is refused at once, in one clear error."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.faults.bounds import bounded
from benchmarks.faults.mutations import CLEAR
from benchmarks.faults.project import new_project
from benchmarks.faults.reading.every import readers
from benchmarks.faults.reading.reader import Reader, fill
from benchmarks.faults.reading.servers import asked, server_of
from benchmarks.faults.tally import Tally

LONGEST = 2500  # characters of an error that somebody may still read
NUMBER = b"9" * 400
DEEP = 100_000
SEQUENCES = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers",
             "post_processor": "processors", "decoder": "decoders"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bomb:
    """An input of a reader. `harmless` ones may also be read: they only must not take long."""

    name: str
    reader: Reader
    files: Mapping[str, bytes]
    link: str | None = None  # what the target leads to, in place of a file
    harmless: bool = False


def bombs(tally: Tally, count: int, chance: random.Random) -> None:
    """All but those of tokenizers, or a few."""
    _set_off(tally, count, chance, _bombs)


def tokenizers(tally: Tally, count: int, chance: random.Random) -> None:
    """Those of tokenizers, which run in this process."""
    _set_off(tally, count, chance, lambda known: _of_tokenizers(known["tokenizer.json"]))


def _set_off(
    tally: Tally,
    count: int,
    chance: random.Random,
    kinds: Callable[[Mapping[str, Reader]], Iterator[Bomb]],
) -> None:
    with new_project() as project, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good").mkdir()
        project.warm_up()
        made = list(kinds({r.name: r for r in readers(Path(folder) / "good", project)}))
        chosen = chance.sample(made, min(count, len(made)))
        by_reader: dict[int, list[Bomb]] = {}
        for bomb in chosen:
            by_reader.setdefault(id(bomb.reader), []).append(bomb)
        for together in by_reader.values():
            _try(tally, together, Path(folder) / "tried")


def _try(tally: Tally, together: list[Bomb], folder: Path) -> None:
    """Bombs of one reader."""
    reader = together[0].reader

    def work(index: int) -> Any:
        # The good file first: what it loads is not a bomb's.
        bomb = together[index - 1] if index else None
        fill(folder, reader.files if bomb is None else bomb.files)
        if bomb is not None and bomb.link is not None:
            (folder / reader.target).unlink()
            (folder / reader.target).symlink_to(bomb.link)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                reader.read(folder)
            except CLEAR as error:
                return str(error)
            except BaseException as error:  # a panic of Rust's is none of Exception
                return ["hung" if isinstance(error, MemoryError) else "lost", repr(error)[:500]]
        return None

    for outcome in bounded(work, len(together) + 1):
        if not outcome.index:
            if outcome.ended or outcome.value:
                tally.add("lost", f"{reader.name}, good: {outcome.ended or outcome.value}")
            continue
        bomb = together[outcome.index - 1]
        tally.tried += 1
        if outcome.ended is not None:
            tally.add("hung", f"{bomb.name}: {outcome.ended}")
        elif isinstance(outcome.value, list):
            tally.add(outcome.value[0], f"{bomb.name}: {outcome.value[1]}")
        elif outcome.value is None and not bomb.harmless:
            tally.add("wrong_verdicts", f"{bomb.name}: it is read as if it were good")
        elif outcome.value is not None and len(outcome.value) > LONGEST:
            tally.add("lost", f"{bomb.name}: an error of {len(outcome.value)} characters")


def _bombs(known: Mapping[str, Reader]) -> Iterator[Bomb]:
    yield from _of_text(known)
    yield from _of_templates(known)
    yield from _of_binary(known)
    yield from _of_servers()
    for reader in known.values():
        if reader.name != "server":
            yield Bomb(name=f"{reader.name}, a link to /dev/zero", reader=reader,
                       files=reader.files, link=os.devnull.replace("null", "zero"),
                       harmless=True)  # fmt: skip


def _of_text(known: Mapping[str, Reader]) -> Iterator[Bomb]:
    aliases = b"".join(
        b"x%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1) if n else b"lol"] * 10))
        for n in range(12)
    )
    long = b'a: &a "' + b"x" * 10**6 + b'"\nb: [' + b",".join([b"*a"] * 5000) + b"]\n"
    for name in ("accepted", "training YAML", "training_args.yaml", "a training to open",
                 "training_args.yaml beside an adapter"):  # fmt: skip
        start = b"" if name == "accepted" else b"template: x\n"
        for what, text in (
            ("aliases", aliases),
            ("aliases of a long text", long),
            ("deep nesting", b"x: " + b"[" * DEEP),
            ("a number of 10,000 digits", b"cutoff_len: " + b"9" * 10_000 + b"\n"),
            ("10^7 lines", b"- a\n" * 10**7 if name == "accepted" else b"? a\n" * 10**6),
        ):
            yield _with(f"{name}, {what}", known[name], start + text)
    card = b"---\ntags: [trl]\n" + aliases + b"\n---\n"
    yield _with("README.md beside an adapter, aliases", known["README.md beside an adapter"], card,
                harmless=True)  # fmt: skip
    for reader in known.values():
        if reader.target.endswith((".json", ".jsonl")) or reader.name == "server":
            deep = b"[" * DEEP + b"]" * DEEP
            yield _with(f"{reader.name}, deep nesting", reader, deep, harmless=True)
            deep = b'{"a": ' * DEEP + b"1" + b"}" * DEEP
            yield _with(f"{reader.name}, deep objects", reader, deep, harmless=True)
            for digits in (NUMBER, b"9" * 5000, b"-" + NUMBER, b"1e400"):
                changed = _numbers(reader.files[reader.target], digits)
                yield _with(f"{reader.name}, numbers of {len(digits)} digits", reader, changed,
                            harmless=True)  # fmt: skip
    doubled = "".join("S = S + S\n" for _ in range(40))
    source = f"S = 'ab'\n{doubled}register_template(name='ours', default_system=S)\n"
    yield _with("template.py, a text doubled 40 times", known["template.py"], source.encode())
    nested = "(" * 5000 + "1" + ")" * 5000
    yield _with("template.py, parentheses", known["template.py"], f"x = {nested}".encode())
    summed = "+".join(["'a'"] * 20_000)
    yield _with("template.py, a sum of 20,000 texts", known["template.py"],
                f"register_template(name='ours', default_system={summed})".encode(),
                harmless=True)  # fmt: skip
    yield _with("Modelfile, 10^6 quotes", known["Modelfile"], b'TEMPLATE """' * 10**5)
    yield _with("probes.csv, one cell of 10^7", known["probes.csv"],
                b'prompt\n"' + b"x" * 10**7, harmless=True)  # fmt: skip


def _numbers(data: bytes, digits: bytes) -> bytes:
    """A JSON text whose numbers all are this one."""
    import re

    return re.sub(rb"(?<=[:\[ ,])-?\d+(\.\d+)?(e-?\d+)?(?=[,\]} \n])", digits, data)


def _of_templates(known: Mapping[str, Reader]) -> Iterator[Bomb]:
    loops = "".join(f"{{% for {c} in range(99999) %}}" for c in "abc") + "{% endfor %}" * 3
    for what, text in (
        ("nested ranges", loops),
        ("'a' * 10**10", "{{ 'a' * 10**10 }}"),
        ("a field of 10^9", "{{ '%999999999d' % 1 }}"),
        ("a format of 10^9", "{{ '{:999999999d}'.format(1) }}"),
        ("10**(10**10)", "{{ 10**(10**10) }}"),
        ("a macro without end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        ("a list that doubles", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}"
                                "{% set n.x = n.x + n.x %}{% endfor %}"),
        ("deep expressions", "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}"),
        ("10^5 loops within another", "{% for a in [1] %}" * 3000),
    ):  # fmt: skip
        yield _with(f"chat template, {what}", known["chat_template.jinja"], text.encode())


def _of_tokenizers(reader: Reader) -> Iterator[Bomb]:
    told = json.loads(reader.files[reader.target])
    reader = replace(reader, read=_long_prompt)
    doubled = [{"type": "Replace", "pattern": {"String": "e"}, "content": "ee"}] * 40
    text = {"Sequence": {"id": "A", "type_id": 0}}
    twice = {"type": "TemplateProcessing", "single": [text, text], "special_tokens": {},
             "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}]}  # fmt: skip
    charsmap = base64.b64encode(bytes(4) + b"x" * 10**6 + b"\0").decode()
    backtracking = [{"type": "Replace", "pattern": {"Regex": "(e|ee|eee)+$"}, "content": ""}]
    for what, part, steps in (
        ("replacements that double 40 times", "normalizer", doubled),
        ("a prefix of 10^7", "normalizer", [{"type": "Prepend", "prepend": "x" * 10**7}]),
        ("characters that become 10^6", "normalizer",
         [{"type": "Precompiled", "precompiled_charsmap": charsmap}]),
        ("bytes as characters 40 times", "normalizer", [{"type": "ByteLevel"}] * 40),
        ("bytes as characters 40 times, in words", "pre_tokenizer", [told["pre_tokenizer"]] * 40),
        ("a template that doubles 40 times", "post_processor", [twice] * 40),
        ("replies that double 40 times", "decoder", doubled),
        ("a pattern that backtracks", "normalizer", backtracking),
        ("a pattern that backtracks, for replies", "decoder", backtracking),
    ):  # fmt: skip
        changed = told | {part: {"type": "Sequence", SEQUENCES[part]: steps}}
        yield _with(f"tokenizer.json, {what}", reader, json.dumps(changed).encode(),
                    harmless=part == "normalizer" and steps is backtracking)  # fmt: skip
    added = told["added_tokens"][0] | {"content": "x" * 10**7}
    long = told | {"added_tokens": [*told["added_tokens"][1:], added]}
    yield _with("tokenizer.json, a token of 10^7", reader, json.dumps(long).encode())
    elsewhere = told | {"normalizer": {"type": "Sequence", "normalizers": doubled}}
    config = json.loads(reader.files["tokenizer_config.json"])
    config["fast_tokenizer_files"] = ["tokenizer.4.0.0.json"]
    files = {"tokenizer_config.json": json.dumps(config).encode(),
             "tokenizer.4.0.0.json": json.dumps(elsewhere).encode()}  # fmt: skip
    yield Bomb(name="tokenizer.4.0.0.json, replacements that double 40 times", reader=reader,
               files={**reader.files, **files})  # fmt: skip


def _long_prompt(folder: Path) -> None:
    from pytest_llmdiff.engines.files.rendering import Renderer

    Renderer(folder).ids(({"role": "user", "content": "e" * 2000 + "!"},))


def _of_binary(known: Mapping[str, Reader]) -> Iterator[Bomb]:
    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    def gguf(tensors: int, keys: int) -> bytes:
        return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)

    header = known["GGUF header"]
    for what, data in (
        ("an array of 2^40", gguf(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 4, 1 << 40)),
        ("an array of 2^32 texts", gguf(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 8, 1 << 32)
         + b"\0" * 8_000_000),
        ("arrays in arrays", gguf(0, 1) + text(b"a") + struct.pack("<I", 9)
         + struct.pack("<IQ", 9, 1) * 5000),
        ("2^60 tensors", gguf(1 << 60, 0)),
        ("2^60 keys", gguf(0, 1 << 60) + b"\0" * 10**6),
        ("2^32 dimensions", gguf(1, 0) + text(b"a") + struct.pack("<I", 2**32 - 1)),
    ):  # fmt: skip
        yield _with(f"GGUF, {what}", header, data)
    yield _with("probes.parquet, 20 million rows", known["probes.parquet"], _parquet("Hi", 20))
    yield _with("probes.parquet, a long text in every row", known["probes.parquet"],
                _parquet("x" * 10**6, 1))  # fmt: skip
    sized = (1 << 62).to_bytes(8, "little") + b"{}"
    yield _with("safetensors, a header of 2^62", known["safetensors"], sized)
    entry = {"w": {"dtype": "F32", "shape": [2**62] * 1000, "data_offsets": [0, 16]}}
    told = json.dumps(entry).encode()
    yield _with("safetensors, a shape of 62,000 bits", known["safetensors"],
                len(told).to_bytes(8, "little") + told, harmless=True)  # fmt: skip


def _parquet(value: str, millions: int) -> bytes:
    import pyarrow
    from pyarrow import parquet

    million = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 10**6, pyarrow.int8()), pyarrow.array([value])
    )
    table = pyarrow.table({"prompt": million})
    out = io.BytesIO()
    with parquet.ParquetWriter(out, table.schema, compression="zstd") as writer:
        for _ in range(millions):
            writer.write_table(table)
    return out.getvalue()


def _of_servers() -> Iterator[Bomb]:
    def asking(headers: Mapping[str, str]) -> Callable[[Path], object]:
        def read(folder: Path) -> None:
            asked(server_of(os.getpid(), headers), (folder / "body").read_bytes())

        return read

    good = gzip.compress(b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}')
    blanks = gzip.compress(b" " * 10**7) * 100  # what is packed in parts is read as one
    packed = Reader(name="server, gzip", files={"body": good},
                    read=asking({"content-encoding": "gzip"}))  # fmt: skip
    yield _with("server, 1 GB of blanks in gzip", packed, blanks, harmless=True)
    text = gzip.compress(b'{"choices": [{"message": {"content": "')
    text += gzip.compress(b"x" * 10**7) * 100
    yield _with("server, a reply of 1 GB in gzip", packed, text, harmless=True)
    yield _with("server, gzip that is none", packed, b"\x1f\x8b" + b"\xff" * 1000, harmless=True)


def _with(name: str, reader: Reader, data: bytes, *, harmless: bool = False) -> Bomb:
    files = {**reader.files, reader.target: data}
    return Bomb(name=name, reader=reader, files=files, harmless=harmless)
