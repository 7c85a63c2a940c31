"""Key files: 32 random bytes for their owner alone, made whole or not at all."""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from catalog.errors import KeyUnusable

KEY_BYTES: Final = 32


def read_key(path: Path, *, what: str, create: bool = False) -> bytes:
    """Read a key file.

    Args:
        path: the file.
        what: its name in errors, e.g. `credential key`.
        create: make a new key, mode 0600, if the file is missing.

    Returns:
        The file's bytes, at most one more than `KEY_BYTES`: whoever uses them checks how many there are.

    Raises:
        KeyUnusable: missing, or open to other users.
    """
    if create:
        _create_key(path, what)
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyUnusable(f"{what} {path}: {error.strerror}") from error
    with os.fdopen(number, "rb") as file:
        mode = stat.S_IMODE(os.fstat(number).st_mode)
        if mode & 0o077:
            raise KeyUnusable(f"{what} {path} is open to other users ({mode:04o}): chmod 600 it")
        return file.read(KEY_BYTES + 1)


def _create_key(path: Path, what: str) -> None:
    """Make a new key file unless there is one; whole or not at all, also under kill -9."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(number, secrets.token_bytes(KEY_BYTES))
            os.fsync(number)
        finally:
            os.close(number)
        try:
            # Unlike a rename, a link never replaces the key that another process made meanwhile.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyUnusable(f"{what} {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Keep the new key across a power cut: without it what was made with it is lost or in doubt."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
