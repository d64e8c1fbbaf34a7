"""YAML that strangers may have written, read within bounds of time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

# PyYAML reads some 40,000 values and 3 million characters a second.
MOST_CHARACTERS = 8_000_000
MOST_VALUES = 100_000
DEEPEST = 100
# Converting digits to a number takes time with the square of their count.
LONGEST_NUMBER = 100


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """A text with a tag of the file's own, such as `!function module.name`."""

    tag: str
    text: str


def load_yaml(text: str, *, tags: Sequence[str] = ()) -> Any:
    """The value of a YAML text, as `yaml.safe_load`. A text with one of the `tags` is a `Tagged`.

    Raises:
        yaml.YAMLError: it is malformed or beyond a bound. Aliases count as often as they are used.
        ValueError: a date or a number in it is none.
    """
    _check_length(text)
    return yaml.load(text, Loader=_loader_of(tuple(tags)))


def compose_yaml(text: str) -> Any:
    """The nodes of a YAML text, with their places; raises as `load_yaml`."""
    _check_length(text)
    return yaml.compose(text, Loader=_Loader)


def _check_length(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(
            f"it has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
        )


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Counts values and characters while composing, before anything is made of them."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = self.values = self.characters = 0
        # What each anchor stands for: values and characters, with the aliases within resolved.
        self.anchored: dict[str, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self.anchored:
                raise self.beyond("the alias stands within what it stands for", event)
            self.add(event, *self.anchored.get(event.anchor, (0, 0)))
            return super().compose_node(parent, index)
        values, characters = self.values, self.characters
        self.add(event, 1, len(event.value) if isinstance(event, yaml.ScalarEvent) else 0)
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.beyond(f"it is nested more than {DEEPEST} deep", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if event.anchor is not None:
            self.anchored[event.anchor] = (self.values - values, self.characters - characters)
        return node

    def add(self, event: yaml.Event, values: int, characters: int) -> None:
        self.values += values
        self.characters += characters
        if self.values > MOST_VALUES:
            raise self.beyond(f"it has more than {MOST_VALUES:,} values, aliases resolved", event)
        if self.characters > MOST_CHARACTERS:
            raise self.beyond(
                f"it has more than {MOST_CHARACTERS:,} characters, aliases resolved", event
            )

    def construct_number(self, node: yaml.ScalarNode) -> float:
        if len(node.value) > LONGEST_NUMBER:
            raise self.beyond(f"a number has more than {LONGEST_NUMBER} characters", node)
        number: float = (
            self.construct_yaml_int(node)
            if node.tag.endswith(":int")
            else self.construct_yaml_float(node)
        )
        return number

    def beyond(self, problem: str, place: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


@cache
def _loader_of(tags: tuple[str, ...]) -> type[_Loader]:
    class Loader(_Loader):
        pass

    for tag in tags:
        Loader.add_constructor(tag, _tagged)
    return Loader


def _tagged(loader: _Loader, node: yaml.Node) -> Tagged:
    if not isinstance(node, yaml.ScalarNode):
        raise loader.beyond(f"{node.tag} stands before no text", node)
    return Tagged(tag=node.tag, text=loader.construct_scalar(node))


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)
