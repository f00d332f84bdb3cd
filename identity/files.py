"""Private keys on disk: never readable by others, not even for an instant, and never half written."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from identity.errors import KeyStoreError

__all__ = [
    "PrivateKey",
    "make_private_folder",
    "read_file",
    "read_private_key",
    "write_file",
    "write_private_key",
]

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_MAX_FILE_BYTES = 8 * 1024 * 1024


def make_private_folder(folder: Path) -> None:
    """Make `folder` with mode 0700 (missing parents too); an existing folder's mode is narrowed to it.

    Raises:
        KeyStoreError: it cannot be made, or is not a folder.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as cause:
        raise KeyStoreError(f"cannot make the folder {folder}: {cause.strerror}") from cause


def write_file(path: Path, content: bytes, *, mode: int, replace: bool = True) -> None:
    """Write a file so that a reader, at any instant and after any crash, sees the old content or the new one.

    The bytes go to a fresh file of the final mode beside the target, are forced to disk, and only then take
    the target's name.

    Args:
        path: the target, in an existing folder.
        content: its whole content.
        mode: permission bits from the first instant on (the umask may only narrow them).
        replace: False refuses an existing target instead of replacing it.

    Raises:
        KeyStoreError: the disk refuses, or the target exists and `replace` is False.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                path.hardlink_to(temporary)  # unlike a rename, a link never overwrites
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError as cause:
        raise KeyStoreError(f"{path} exists and is not overwritten") from cause
    except OSError as cause:
        raise KeyStoreError(f"cannot write {path}: {cause.strerror}") from cause


def read_file(path: Path) -> bytes:
    """Read a small file whole.

    Raises:
        KeyStoreError: missing, unreadable or larger than 8 MiB.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as cause:
        raise KeyStoreError(f"cannot read {path}: {cause.strerror}") from cause
    if len(content) > _MAX_FILE_BYTES:
        raise KeyStoreError(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    return content


def write_private_key(path: Path, key: PrivateKey, *, replace: bool = True) -> None:
    """Write a private key as PKCS #8 PEM, mode 0600, atomically.

    Raises:
        KeyStoreError: as `write_file`.
    """
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(path, pem, mode=0o600, replace=replace)


def read_private_key(path: Path) -> PrivateKey:
    """Read a PEM private key that nobody else can read.

    Raises:
        KeyStoreError: missing, not a regular file, open to group or others, not a PEM key, or of another
            kind.
    """
    pem = read_file(path)
    information = path.stat()
    if not stat.S_ISREG(information.st_mode):
        raise KeyStoreError(f"{path} is not a regular file")
    if information.st_mode & 0o077:
        raise KeyStoreError(
            f"{path} can be read by others (mode {information.st_mode & 0o777:04o}); make it 0600"
        )
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: what a parser says about a private key's bytes belongs in no log.
        raise KeyStoreError(f"{path} is not an unencrypted PEM private key") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise KeyStoreError(f"{path} is neither an Ed25519 nor an ECDSA P-256 key")
