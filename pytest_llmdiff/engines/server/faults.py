"""What servers say when they fail: by a status, in the body of an answer, by a certificate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

WORDS = ("error", "message", "detail", "msg", "error_msg")
PAGE = 20_000  # characters of an HTML page that are read
MARKUP = re.compile(r"<(style|script)\b[^<]*</\1>|<[^<>]*>", re.IGNORECASE)


class Fault(Exception):
    """An error that a server wraps in an answer of status 200, with the status that it means."""

    def __init__(self, status_code: int, said: str) -> None:
        super().__init__(said)
        self.status_code = status_code


def fault_within(answer: Any) -> tuple[int, str] | None:
    """The status and the words of an error in the JSON of an answer; None if it has none.

    It may stand beside a reply that it broke off, or within the choice.
    """
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    places = [answer, *(choices if isinstance(choices, list) else [])]
    errors = (place.get("error") for place in places if isinstance(place, Mapping))
    error = next(filter(None, errors), None)
    if error is None:
        return None
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    text = str(code)
    status = int(text) if re.fullmatch("[45][0-9][0-9]", text) else 400
    return status, words_of(json.dumps({"error": error}, ensure_ascii=False))


def words_of(body: str) -> str:
    """What the body of a failed answer says, whatever its form: JSON of any shape, HTML, plain."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(MARKUP.sub(" ", body[:PAGE]).split())
    while isinstance(found, Mapping) and (name := next(filter(found.get, WORDS), None)):
        found = found[name]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def untrusted(error: BaseException) -> str:
    """What to do, if the connection failed because nobody here knows who signed the certificate."""
    if all("CERTIFICATE_VERIFY_FAILED" not in str(each) for each in _causes(error)):
        return ""
    return (
        "; its certificate is not trusted here: set the environment variable SSL_CERT_FILE to a "
        "file with the certificate of the authority that signed it (PEM)"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
