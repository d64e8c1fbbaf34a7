"""Damaged and hostile variants of a file: of its bytes, and of the values of its JSON."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

# What parsers trip over, as it stands in a file.
WORDS = (
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"1" * 400, b"-0", b"2.5", b"{}", b"[]",
    b"[" * 3000, b"{" * 300, b'"', b"'", b"\\", b"\\ud800", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\r", b"\n", b"\t", b",", b":", b"- ", b"&a [*a]", b"*a", b"<<: *a", b"!!python/object:os",
    b"!!int 'x'", b"2001-99-99", b"0x", b"? ", b"---\n", b"%YAML 9.9\n", b"{{", b"}}", b"{% ",
    b"{% for m in messages %}", b"{{ messages[99] }}", b"{{ 1 / 0 }}", b"${", b"(((((", b"*" * 200,
    "\u202e\u2028\U0001f600".encode(), b"\xed\xa0\x80",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
# What stands in JSON in place of something else.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**70, int("9" * 400), 1e308, 0.5, float("nan"), float("inf"), "",
    " ", "x", "\x00", "\ud800", "x" * 5000, "1", "nan", [], [None], [[]], ["x"], {}, {"": None},
    {"x": {}}, [1, "x", None], "../../../etc/passwd", "/dev/zero", "~", "%s%n", "a\nb",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four faults."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        found = _other_value(data, chance) if chance.random() < 0.5 else None
        data = chance.choice(BYTES)(data, chance) if found is None else found
    return data


# Of bytes


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data or b"x")
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _remove(data: bytes, chance: random.Random) -> bytes:
    first, last = _span(data, chance)
    return data[:first] + data[last:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    first, last = _span(data, chance)
    return data[:last] + data[first:last] * chance.choice((1, 2, 50)) + data[last:]


def _move(data: bytes, chance: random.Random) -> bytes:
    first, last = _span(data, chance)
    rest = data[:first] + data[last:]
    at = chance.randrange(len(rest) + 1)
    return rest[:at] + data[first:last] + rest[at:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    first, last = _span(data, chance)
    return data[:first] + chance.choice(WORDS) + data[last if chance.random() < 0.5 else first :]


def _count(data: bytes, chance: random.Random) -> bytes:
    """A length or an offset of a binary format."""
    form = chance.choice(("<Q", "<I", ">I", "<H"))
    mask = (1 << (8 * struct.calcsize(form))) - 1
    number = struct.pack(form, chance.choice(NUMBERS) & mask)
    at = chance.randrange(min(len(data), 400) + 1)
    return data[:at] + number + data[at + len(number) :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _cut, _remove, _repeat, _move, _insert, _insert, _count,
)  # fmt: skip


def _span(data: bytes, chance: random.Random) -> tuple[int, int]:
    first = chance.randrange(len(data) + 1)
    return first, min(len(data), first + chance.choice((1, 4, 16, 64, 400)))


# Of JSON, whole or by line


def _other_value(data: bytes, chance: random.Random) -> bytes | None:
    """The bytes with one value replaced, a key removed or one added; None if it is no JSON."""
    lines = data.split(b"\n")
    whole = chance.random() < 0.5 or len(lines) < 2
    at = 0 if whole else chance.randrange(len(lines))
    try:
        value = json.loads(data if whole else lines[at])
    except (ValueError, RecursionError):
        return None
    text = json.dumps(_changed(value, chance)).encode()
    return text if whole else b"\n".join([*lines[:at], text, *lines[at + 1 :]])


def _changed(value: Any, chance: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return chance.choice(VALUES)
    holder, key = chance.choice(places)
    way = chance.random()
    if way < 0.7:
        holder[key] = chance.choice(VALUES)
    elif way < 0.85:
        del holder[key]
    elif isinstance(holder, dict):
        holder[chance.choice((key.upper(), key + " ", "x", ""))] = holder.pop(key)
    else:
        holder.append(chance.choice(VALUES))
    return value


def _places(value: Any) -> Any:
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, (dict, list)):
            keys = item if isinstance(item, dict) else range(len(item))
            yield from ((item, key) for key in keys)
            rest += item.values() if isinstance(item, dict) else item
