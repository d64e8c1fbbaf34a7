"""Files without an end, to which a link in somebody's repository may lead."""

from __future__ import annotations

import errno
from pathlib import Path


def refuse_device(path: Path) -> None:
    """Raises OSError for a device such as /dev/zero, which would be read until memory runs out."""
    if path.is_char_device():
        raise OSError(errno.EINVAL, "it is a device, not a file")
