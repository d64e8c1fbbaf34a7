"""Replies that people labelled, by which a judge is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.records import Kind, Record, check_known
from pytest_llmdiff.errors import ProbeFileError

COLUMNS = ("rubric", "prompt", "side", "reply", "label")
LABELS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
SIDES = ("base", "tuned")


@dataclass(frozen=True, kw_only=True)
class LabelledReply:
    """A reply that a person read: whether it meets the rubric. `side` is the model that gave it,
    or None where that is not known."""

    rubric: str
    prompt: str
    reply: str
    side: str | None
    label: bool


def read_labels(path: Path) -> list[LabelledReply]:
    """The labelled replies of a file, each once; rows whose label is still empty are left out.

    Raises:
        ProbeFileError: at the first fault, if two rows label the same reply differently, or if no
            row is labelled.
    """
    if not path.is_file():
        raise ProbeFileError(f"--llmdiff-labels: there is no file {path}")
    found = _once(
        (record, label) for record in read_records(path, _KIND) if (label := _parsed(record))
    )
    if not found:
        raise ProbeFileError(
            f"{path}: no row has a label: write yes or no into the column label of each"
        )
    return found


def _once(rows: Iterable[tuple[Record, LabelledReply]]) -> list[LabelledReply]:
    """Each labelled reply once: two rows on one reply are no two observations of the judge. A row
    without a side is on the reply of either model."""
    found: dict[tuple[str, str, str], dict[str | None, tuple[Record, LabelledReply]]] = {}
    for record, label in rows:
        held = found.setdefault((label.rubric.strip(), label.prompt, label.reply), {})
        for side, (first, other) in held.items():
            same = side is None or label.side is None or side == label.side
            if same and other.label != label.label:
                said, before = ("yes" if each.label else "no" for each in (label, other))
                raise record.error(
                    f"the reply is labelled {said} here, and {before} in {first.unit} "
                    f"{first.number}: decide which it is, and delete the other row",
                    column="label",
                )
        held.setdefault(label.side, (record, label))
    return [
        label
        for held in found.values()
        for _, label in ([held[None]] if None in held else held.values())
    ]


def _check_columns(place: str, names: Iterable[str]) -> None:
    check_known(place, names, COLUMNS)


_KIND = Kind(
    noun="labelled reply",
    example='{"rubric": "...", "prompt": "...", "reply": "...", "label": "yes"}',
    columns=f"columns among {', '.join(COLUMNS)}",
    check_columns=_check_columns,
)


def _parsed(record: Record) -> LabelledReply | None:
    given = record.values.get("label")
    if given is None or given == "":
        return None
    label = LABELS.get(str(given).strip().lower())
    if label is None:
        raise record.error(f"{given!r} is no label; expected yes or no", column="label")
    texts = {}
    for name in ("rubric", "prompt", "reply"):
        value = record.values.get(name)
        if not isinstance(value, str):
            raise record.error("expected a text", column=name)
        texts[name] = value
    side = record.values.get("side") or None
    if side is not None and side not in SIDES:
        raise record.error(f"{side!r} is no side; expected base or tuned", column="side")
    return LabelledReply(**texts, side=None if side is None else str(side), label=label)
