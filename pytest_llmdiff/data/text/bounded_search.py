"""Regular expressions of a user, searched in replies within a time limit.

A pattern with a repetition inside another takes time that doubles with each character of some
texts, and the texts are replies of models. The package regex can be given a time limit, `re` not.
"""

from __future__ import annotations

from pytest_llmdiff.errors import ConfigError

SECONDS = 1.0  # for one search, or for all of one value together


def search(pattern: str, text: str, *, what: str, seconds: float) -> bool:
    """Whether the pattern, which errors call `what`, matches anywhere in the text.

    Raises:
        ConfigError: it is no regular expression, or takes more than `seconds`.
    """
    import regex

    try:
        return regex.search(pattern, text, timeout=seconds) is not None
    except TimeoutError as error:
        raise ConfigError(
            f"{what} takes more than {SECONDS:.0f} second on a reply; write it without a "
            "repetition inside another, such as (a+)+"
        ) from error
    except regex.error as error:
        raise ConfigError(f"{what} is not a regular expression: {error}") from error
