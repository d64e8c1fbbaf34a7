"""Failing probes as training data for the next round, in a form that LLaMA-Factory reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.comparison import SIDES
from pytest_llmdiff.data.files.whole_files import whole_file
from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.errors import ConfigError, hidden
from pytest_llmdiff.reports.outcomes import kind_of

INFO = "dataset_info.json"
# Not the formatting "openai", which adds a remark to every system prompt.
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function",
    "system_tag": "system",
}
_COLUMNS: Mapping[str, Sequence[str]] = {
    "llmdiff_sft": (),
    "llmdiff_dpo": ("chosen", "rejected"),
    "llmdiff_kto": ("kto_tag",),
}
_TITLES = {"llmdiff_sft": "SFT", "llmdiff_dpo": "DPO", "llmdiff_kto": "KTO"}
NAMES = tuple(_COLUMNS)
BEYOND = "more than the reports keep of one test"
TOOLS = "the probe offers tools or has calls of them, which this export does not write"
SERVED = "the served model differs from the tuned one, which training cannot fix"

Records = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A failing probe with the wanted answer and the one that it got."""

    probe: str
    messages: list[dict[str, str]]
    chosen: str
    rejected: str
    source: str
    cut_off: bool

    @property
    def prompt(self) -> str:
        return json.dumps(self.messages)

    @property
    def hidden(self) -> bool:
        """Whether a reader would not see all of what is in it: bidirectional marks, control and
        zero-width characters."""
        texts = [message["content"] for message in self.messages]
        return any(_is_hidden(c) for text in (*texts, self.chosen, self.rejected) for c in text)


def write_export(rows: Mapping[str, dict[str, Any]], folder: Path) -> list[str]:
    """Write the failing probes of a run into the folder. Returns lines that say what was written.

    The answer to learn is a probe's reference, or else the base's reply; the answer to unlearn is
    the tuned reply. Other entries in the folder's dataset_info.json stay.

    Raises:
        ConfigError: the folder's dataset_info.json is broken, or the folder is not writable.
            Nothing is overwritten then.
    """
    left_out: Counter[str] = Counter()
    pairs = _with_the_best_source(_pairs(rows, left_out))
    records = _records(pairs)
    try:
        info = _info(folder / INFO)
        before = set(info)
        info = {name: entry for name, entry in info.items() if name not in NAMES}
        written = {name: found for name, found in records.items() if found}
        if written or before != set(info):
            _write_all(folder, info, written)
    except OSError as error:
        raise ConfigError(
            f"the export folder {folder} is not writable ({error.strerror or error}): give one "
            "that is"
        ) from error
    return _lines(records, pairs, left_out, folder)


def _lines(
    records: Records, pairs: Sequence[_Pair], left_out: Mapping[str, int], folder: Path
) -> list[str]:
    counts = [f"{len(found)} {_TITLES[name]}" for name, found in records.items() if found]
    if counts:
        listed = f"{', '.join(counts[:-1])} and {counts[-1]}"
        lines = [f"export: {listed} records in {folder}"]
    else:
        lines = ["export: nothing was written: no failing probe can be exported"]
    lines += [f"export: left out {count}: {reason}" for reason, count in left_out.items()]
    if count := sum(pair.cut_off for pair in pairs):
        lines.append(
            f"export: {count} chosen base replies are cut at max_new_tokens; complete them "
            "before training on them (cut_off: true)"
        )
    if count := sum(pair.hidden for pair in pairs):
        lines.append(
            f"export: {counted(count, 'exported probe')} with characters that no editor shows "
            "(bidirectional, control, zero-width), written as \\uXXXX; look at them before "
            "training (hidden: true)"
        )
    return lines


# From rows to pairs


def _pairs(rows: Mapping[str, dict[str, Any]], left_out: Counter[str]) -> Iterator[_Pair]:
    seen: set[tuple[str, str]] = set()
    for row in rows.values():
        if kind_of(row) not in ("regressed", "failed"):
            continue
        for comparison in _failing(row, left_out):
            if any(map(_of_tools, comparison["messages"])):
                left_out[TOOLS] += 1
                continue
            if tuple(comparison["sides"]) != SIDES:
                left_out[SERVED] += 1
                continue
            pair = _pair(comparison)
            key = (pair.prompt, json.dumps([pair.chosen, pair.rejected]))
            if key in seen:
                continue
            seen.add(key)
            if (reason := _unusable(pair)) is not None:
                left_out[reason] += 1
            else:
                yield pair


def _failing(row: Mapping[str, Any], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """The comparisons that regressed, or all of them if only the test's own assertion failed.

    A reply that was not judged is not an example of a bad one.
    """
    regressed = {
        verdict["probe"] for verdict in row["verdicts"] if verdict["outcome"] == "regressed"
    }
    known = {comparison["probe"] for comparison in row["comparisons"]}
    # A verdict on a set or on a model names no probe.
    if named := regressed - {None}:
        if missing := len(named - known):
            left_out["compared while its test ran, so the report has no replies"] += missing
        held = Counter(v["name"] for v in row["verdicts"] if v["outcome"] == "regressed")
        if beyond := sum(f["regressed"] - held[name] for name, f in row["many"].items()):
            left_out[BEYOND] += beyond
        yield from (each for each in row["comparisons"] if each["probe"] in named)
    else:
        if beyond := row["compared"] - len(row["comparisons"]):
            left_out[BEYOND] += beyond
        yield from row["comparisons"]


def _of_tools(message: Mapping[str, Any]) -> bool:
    return message["role"] == "tool" or bool({"tools", "tool_calls"} & message.keys())


def _pair(comparison: Mapping[str, Any]) -> _Pair:
    reference = comparison.get("reference")
    base = comparison["base"]
    return _Pair(
        probe=comparison["probe"],
        messages=[dict(message) for message in comparison["messages"]],
        chosen=reference or base["text"],
        rejected=comparison["tuned"]["text"],
        source="reference" if reference else "base reply",
        cut_off=not reference and base.get("finish_reason") == "length",
    )


def _unusable(pair: _Pair) -> str | None:
    roles = [message["role"] for message in pair.messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if not pair.chosen.strip():
        return "the base reply is empty, and there is no reference"
    if pair.chosen == pair.rejected:
        return f"the tuned reply equals the {pair.source}"
    if any((role == "assistant") != bool(place % 2) for place, role in enumerate(turns)):
        return "the turns of its prompt do not alternate, as LLaMA-Factory requires"
    try:
        json.dumps([pair.messages, pair.chosen, pair.rejected], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "its text contains half of a surrogate pair, which UTF-8 cannot encode"
    return None


def _with_the_best_source(pairs: Iterable[_Pair]) -> list[_Pair]:
    """Drops the base's reply as a target for prompts for which some test has a reference."""
    all_ = list(pairs)
    answered = {pair.prompt for pair in all_ if pair.source == "reference"}
    return [pair for pair in all_ if pair.source == "reference" or pair.prompt not in answered]


# From pairs to files


def _records(pairs: Sequence[_Pair]) -> Records:
    records: Records = {name: [] for name in NAMES}
    seen: set[str] = set()
    for pair in pairs:
        about = {
            "probe": pair.probe, "source": pair.source, "cut_off": pair.cut_off,
            "hidden": pair.hidden,
        }  # fmt: skip
        chosen, rejected = (
            {"role": "assistant", "content": text} for text in (pair.chosen, pair.rejected)
        )
        desired, undesired = ([*pair.messages, reply] for reply in (chosen, rejected))
        of_tuned = {**about, "source": "tuned reply", "cut_off": False}
        candidates = (
            ("llmdiff_sft", {"messages": desired}, about),
            (
                "llmdiff_dpo",
                {"messages": pair.messages, "chosen": chosen, "rejected": rejected},
                about,
            ),
            ("llmdiff_kto", {"messages": desired, "label": True}, about),
            ("llmdiff_kto", {"messages": undesired, "label": False}, of_tuned),
        )
        for name, content, extra in candidates:
            # Two rejected answers to one prompt share a chosen one.
            key = name + json.dumps(content)
            if key not in seen:
                seen.add(key)
                records[name].append({**content, **extra})
    return records


def _entry(name: str) -> dict[str, Any]:
    columns = {"messages": "messages"}
    columns |= {key: "label" if key == "kto_tag" else key for key in _COLUMNS[name]}
    entry: dict[str, Any] = {"file_name": f"{name}.json", "formatting": "sharegpt"}
    if "chosen" in columns:
        entry["ranking"] = True
    return {**entry, "columns": columns, "tags": dict(_TAGS)}


def _info(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(
            f"{path} is broken ({error}); repair it or export into another folder"
        ) from error
    if not isinstance(info, dict):
        raise ConfigError(
            f"{path} is not an object with an entry per data set; repair it or export into another "
            "folder"
        )
    return info


def _write_all(folder: Path, info: dict[str, Any], written: Records) -> None:
    # ASCII: LLaMA-Factory opens this file in the system's encoding. It comes first to be replaced
    # last, when the files that it names are there.
    info = {**info, **{name: _entry(name) for name in written}}
    drafts = {folder / INFO: json.dumps(info, ensure_ascii=True, indent=2)}
    for name, found in written.items():
        drafts[folder / f"{name}.json"] = _all_shown(
            json.dumps(found, ensure_ascii=False, indent=2)
        )
    with ExitStack() as together:  # none takes its place unless all could be written
        for path, text in drafts.items():
            draft = together.enter_context(whole_file(path))
            draft.write_text(text + "\n", encoding="utf-8")
    for name in NAMES:
        if name not in written:
            (folder / f"{name}.json").unlink(missing_ok=True)


def _is_hidden(character: str) -> bool:
    return character not in "\n\r\t" and hidden(character)


def _all_shown(text: str) -> str:
    """The same JSON, with the characters escaped that a reader of the file would not see, so that
    it reads as it is trained on."""
    return "".join(json.dumps(c)[1:-1] if _is_hidden(c) else c for c in text)
