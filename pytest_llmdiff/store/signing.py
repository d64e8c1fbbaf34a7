"""Signs rows with a key that only this user has, so that rows that somebody else wrote are not
believed: a store may come with a pull request, or from a cache that others can write."""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.store.folders import cache_folder, is_own, temporary_folder

VARIABLE = "LLMDIFF_STORE_KEY"
SHORTEST = 16  # characters of a given key
SIZE = 32  # bytes of a key
NAME = 4  # bytes by which a signature names its key
TAG = 16  # bytes: a forged row passes with a chance of 2^-128


class Signer:
    """Signs with a key (BLAKE2b's keyed mode, RFC 7693).

    A signature begins with `name`, which tells keys apart: rows signed with another key are no
    damage.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = hashlib.blake2b(b"name", key=key, digest_size=NAME).digest()

    def sign(self, kind: str, key: str, value: bytes) -> bytes:
        """The signature of a row. Without its kind and key, values could be swapped."""
        about = f"{len(kind)} {len(key)} {kind}{key}".encode(errors="surrogatepass")
        signature = hashlib.blake2b(about, key=self._key, digest_size=TAG)
        signature.update(value)
        return self.name + signature.digest()

    def is_signed(self, kind: str, key: str, value: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(kind, key, value), signature)


def signer_of_user() -> Signer:
    """By the key in the environment, or by the user's own, which is made on first use.

    Raises:
        StoreError: the given key is too short, or there is no place for a key.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:  # as a CI system gives a secret to whom it does not trust
        return Signer(_own_key())
    if len(given) < SHORTEST:
        raise StoreError(
            f"the environment variable {VARIABLE} has {len(given)} characters; a key has at least "
            f"{SHORTEST}. Make one with: openssl rand -hex 32"
        )
    encoded = given.encode(errors="surrogateescape")
    return Signer(hashlib.blake2b(encoded, digest_size=SIZE).digest())


def _own_key() -> bytes:
    places: tuple[Callable[[], Path], ...] = (cache_folder, temporary_folder)
    errors = list[str]()
    for place in places:
        try:
            return _kept_key(place())
        except OSError as error:
            errors.append(str(error))
    raise StoreError(
        f"there is no place for the key that signs the store's rows ({'; '.join(errors)}): let "
        f"XDG_CACHE_HOME name a folder that can be written, or set {VARIABLE}"
    )


def _kept_key(folder: Path) -> bytes:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "store.key"
    if (key := _read(file)) is not None:
        return key
    import secrets

    from filelock import FileLock

    # Processes that begin together must end up with one key.
    with FileLock(folder / "store.key.lock", mode=0o600):
        if (key := _read(file)) is None:
            key = secrets.token_bytes(SIZE)
            descriptor, draft = tempfile.mkstemp(dir=folder)  # readable by its user alone
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(key)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(draft).replace(file)
            finally:
                Path(draft).unlink(missing_ok=True)
    return key


def _read(file: Path) -> bytes | None:
    """The key in a file; None if there is none, or only a part of one.

    Raises:
        OSError: it belongs to another user, who would know the key, or cannot be read.
    """
    try:
        with file.open("rb") as stream:
            status, key = os.fstat(stream.fileno()), stream.read(SIZE + 1)
    except FileNotFoundError:
        return None
    if not is_own(status):
        raise OSError(f"{file} belongs to another user")
    if status.st_mode & 0o077:
        with suppress(OSError):
            file.chmod(0o600)
    return key if len(key) == SIZE else None
