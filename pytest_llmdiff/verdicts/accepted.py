"""Accepted changes: behaviour that somebody reviewed and wants, one entry per probe in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.comparison import SIDES, Accepted, FinishReason
from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.errors import ConfigError

HEADER = (
    "# Behaviour of the tuned model that was reviewed and is wanted; written by --llmdiff-accept.\n"
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One accepted change: the probe, by the digest of its prompt, and its test."""

    digest: str
    probe: str
    test: str
    prompt: str
    accepted: Accepted


def read_accepted(path: Path) -> dict[str, Entry]:
    """The entries of a file by digest; empty if there is no file.

    Raises:
        ConfigError: the file is invalid, or two entries are for one probe.
    """
    if not path.exists():
        return {}
    import yaml

    from pytest_llmdiff.data.files.bounded_yaml import load_yaml

    try:
        refuse_device(path)
        found = load_yaml(path.read_text(encoding="utf-8")) or []
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"--llmdiff-accepted: {path} cannot be read: {error}") from error
    if not isinstance(found, list):
        raise ConfigError(f"--llmdiff-accepted: {path} is not a list of entries")
    entries: dict[str, Entry] = {}
    for number, row in enumerate(found, 1):
        try:
            entry = _entry(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"--llmdiff-accepted: {path}, entry {number}: {error!r}; expected digest, probe, "
                "test, prompt, reply, finish_reason and values, as --llmdiff-accept writes them"
            ) from error
        if entry.digest in entries:
            raise ConfigError(
                f"--llmdiff-accepted: {path}, entry {number}: the probe {entry.probe} already has "
                "an entry"
            )
        entries[entry.digest] = entry
    return entries


def write_accepted(path: Path, new: Iterable[Entry]) -> list[str]:
    """Add entries to the file, replacing those for the same probes. Returns a summary, as lines."""
    before = read_accepted(path)
    changed = {entry.digest: entry for entry in new if before.get(entry.digest) != entry}
    if not changed:
        return ["accepted: no new behaviour to accept"]
    text = path.read_text(encoding="utf-8") if path.exists() else HEADER
    write_whole(path, _edited(text, changed))
    lines = [
        f"  {'updated' if digest in before else 'accepted'}: {entry.probe} ({entry.test})"
        for digest, entry in changed.items()
    ]
    return [f"accepted: {path}, to be reviewed and committed", *lines]


def _edited(text: str, changed: Mapping[str, Entry]) -> str:
    """The file's text with these entries replaced in their places, and new ones at the end.

    All else stays as it is, comments above all: people have reviewed it. A file in a form of
    another kind (`[]`, an indented list) is written anew, with the comments at its beginning.
    """
    import yaml

    from pytest_llmdiff.data.files.bounded_yaml import compose_yaml, load_yaml

    rows = load_yaml(text) or []
    wanted = {str(row["digest"]): _entry(row) for row in rows} | dict(changed)
    found, lines = compose_yaml(text), text.splitlines(keepends=True)
    left = dict(changed)
    for item, row in reversed([*zip(found.value if rows else [], rows, strict=True)]):
        if entry := left.pop(str(row["digest"]), None):
            first, end = item.start_mark.line, item.end_mark.line
            # A comment below belongs to the next entry; one within a text would be indented.
            while end - 1 > first and not lines[end - 1].startswith(" "):
                end -= 1
            lines[first:end] = [_dumped([entry])]
    kept = "".join(lines)
    added = sorted(left.values(), key=lambda entry: (entry.test, entry.probe))
    edited = kept
    try:
        if added:
            end = _end(kept)
            last = "\n" * (kept[:end][-1:] not in ("", "\n"))
            edited = kept[:end] + last + _dumped(added) + kept[end:]
        written = [_entry(row) for row in load_yaml(edited)]
    except (yaml.YAMLError, KeyError, TypeError):
        written = []
    if {entry.digest: entry for entry in written} == wanted:
        return edited
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True))
    return "".join(comments) + _dumped(wanted.values())


def _end(text: str) -> int:
    """Where the list ends: before the line that ends the document (`...`), if there is one."""
    import yaml

    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.DocumentEndEvent) and event.explicit:
            index: int = event.start_mark.index
            return index
    return len(text)


def _dumped(entries: Iterable[Entry]) -> str:
    import yaml

    rows = [_row(entry) for entry in entries]
    text: str = yaml.safe_dump(rows, allow_unicode=True, sort_keys=False, width=100)
    return text


def unmatched(
    entries: Iterable[Entry], collected: Mapping[str, set[str]], root: Path
) -> list[Entry]:
    """Entries that no longer match any probe.

    `collected` maps each collected test to the digests of its declared probes. A test without
    digests has prompts known only at run time, so its entries cannot be checked.
    """
    files = {test.partition("::")[0] for test in collected}
    known = set().union(*collected.values())
    gone = []
    for entry in entries:
        file = entry.test.partition("::")[0]
        if entry.test in collected:
            checked = bool(collected[entry.test])
        else:
            checked = file in files or not (root / file).exists()
        if checked and entry.digest not in known:
            gone.append(entry)
    return gone


def entries_of(rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries to accept from a run: probes of failed verdicts; for a failed set, all members
    whose reply changed."""
    found: dict[str, Entry] = {}
    for row in rows:
        broken = [v for v in row["verdicts"] if v["outcome"] in ("regressed", "inconclusive")]
        whole = any(verdict["set"] for verdict in broken)
        named = {verdict["probe"] for verdict in broken}
        for comparison in row["comparisons"]:
            if tuple(comparison["sides"]) != SIDES:
                continue  # not a base and a tuned model: no change made by tuning
            changed = comparison["tuned"]["text"] != comparison["base"]["text"]
            if comparison["probe"] in named or (whole and changed):
                own = [v for v in broken if v["probe"] == comparison["probe"]]
                before = found.get(comparison["digest"])
                found[comparison["digest"]] = _accepting(row["case"], comparison, own, before)
    return list(found.values())


def _accepting(
    case: str,
    comparison: Mapping[str, Any],
    verdicts: Sequence[Mapping[str, Any]],
    before: Entry | None,
) -> Entry:
    """The entry for a comparison; `before` is that of another test with the same probe."""
    tuned = comparison["tuned"]
    values = {} if before is None else dict(before.accepted.values)
    values |= {v["name"]: v["value"] for v in verdicts if v["value"] is not None}
    return Entry(
        digest=comparison["digest"],
        probe=comparison["probe"],
        test=case if before is None else before.test,
        prompt=comparison["prompt"],
        accepted=Accepted(text=tuned["text"], finish_reason=tuned["finish_reason"], values=values),
    )


def _entry(row: Mapping[str, Any]) -> Entry:
    finish: FinishReason = "length" if row["finish_reason"] == "length" else "stop"
    values = {str(name): float(value) for name, value in row["values"].items()}
    return Entry(
        digest=str(row["digest"]),
        probe=str(row["probe"]),
        test=str(row["test"]),
        prompt=str(row["prompt"]),
        accepted=Accepted(text=str(row["reply"]), finish_reason=finish, values=values),
    )


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "probe": entry.probe,
        "test": entry.test,
        "prompt": entry.prompt,
        "reply": entry.accepted.text,
        "finish_reason": entry.accepted.finish_reason,
        "values": dict(entry.accepted.values),
        "digest": entry.digest,
    }
