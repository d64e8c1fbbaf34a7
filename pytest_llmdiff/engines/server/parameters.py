"""`llmdiff_server_parameters`: what a user adds to each request, drops from it or renames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdiff.errors import ConfigError, close_to

OPTION = "--llmdiff-server-parameters"
SIDES = ("base", "tuned", "served", "judge")
# What a request asks, and the form of its answer.
OURS = ("model", "messages", "prompt", "stream", "n")
# Options that say what else a value would.
OPTIONS = {
    "max_tokens": "--llmdiff-max-new-tokens",
    "num_predict": "--llmdiff-max-new-tokens",
    "temperature": "--llmdiff-temperature",
    "top_p": "--llmdiff-top-p",
    "seed": "--llmdiff-seed",
    "chat_template_kwargs": "--llmdiff-template-kwargs",
}
ALIKE = 0.85  # of a misspelt side; "seed" is a parameter
FORMS = 'a value, null to drop it, or {"rename": "NAME"}'


def check_parameters(given: Mapping[str, Any]) -> None:
    """Check the option's object: parameters, or an object of them for each side.

    Raises:
        ConfigError: a side or a parameter is none.
    """
    sided = [name for name in given if name in SIDES]
    for name, value in given.items():
        near = close_to(name, SIDES, alike=ALIKE) if isinstance(value, Mapping) else ()
        if name not in SIDES and (sided or near):
            raise ConfigError(
                f"{OPTION}: {name!r} is none of the sides {', '.join(SIDES)}; give parameters for "
                "all servers, or an object of them for each side, and nothing beside the sides"
            )
        if name in SIDES and not isinstance(value, Mapping):
            raise ConfigError(f"{OPTION}: {name!r} takes an object of parameters, not {value!r}")
    for each in [given[side] for side in sided] or [given]:
        for name, value in each.items():
            _check(name, value)


def _check(name: str, value: Any) -> None:
    if name in OURS:
        raise ConfigError(f"{OPTION}: {name!r} is set by this plugin")
    if isinstance(value, Mapping) and "rename" in value:
        other = _other_name(value)
        if other is None or not other or other in OURS:
            raise ConfigError(f"{OPTION}: {name!r} takes {FORMS}, not {value!r}")
    elif value is not None and name in OPTIONS:
        raise ConfigError(f"{OPTION}: {name!r} is set by this plugin: give {OPTIONS[name]}")


def parameters_of(given: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """What of the option is for the model of this role."""
    if not any(name in SIDES for name in given):
        return given
    found: Mapping[str, Any] = given.get(role, {})
    return found


def changed(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request as the user wants them."""
    sent = dict(parameters)
    for name, value in given.items():
        if value is None:
            sent.pop(name, None)
        elif (other := _other_name(value)) is not None:
            if name in sent:
                sent[other] = sent.pop(name)
        else:
            sent[name] = value
    return sent


def _other_name(value: Any) -> str | None:
    """The new name of a parameter, if that is what the value says."""
    if not isinstance(value, Mapping) or value.keys() != {"rename"}:
        return None
    other = value["rename"]
    return other if isinstance(other, str) else None
