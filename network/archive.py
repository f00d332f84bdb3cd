"""Archives of a network's folder or a part of it: one gzipped tar file that can be checked.

``about.json`` comes first, then the files, and last ``manifest.json`` with size, mode and SHA-256 of each: an
archive that was cut off has none. It holds private keys, so it is its owner's alone (0600) from the first
byte on. Reading trusts nothing: only plain files of relative paths are taken, and nothing gets its final
place before everything was checked.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.metadata
import io
import json
import os
import re
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from network.errors import SnapshotError

__all__ = ["LEFT_OUT", "SCHEMA", "pack", "unpack"]

SCHEMA: Final = "edgeproof/network-archive/v1"
LEFT_OUT: Final = frozenset({"run", "logs"})
"""Folders that no archive holds: what runs where is true of the folder that it was written in alone."""
_ABOUT: Final = "about.json"
_MANIFEST: Final = "manifest.json"
_CHUNK: Final = 1024 * 1024
_MAX_JSON: Final = 64 * 1024 * 1024
_NAME: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # of a network or host; it is printed in commands
_CREATED: Final = r"[0-9T:.+Z-]{1,40}"
_DAMAGED: Final = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError),
    *(ValueError, KeyError, RecursionError),  # of its documents
)
_LEVEL: Final = 1  # what is large here (preallocated logs, protobuf) is as small at level 1


def pack(root: Path, paths: Iterable[str], target: Path, about: dict[str, Any]) -> int:
    """Write an archive.

    Args:
        root: the folder.
        paths: the files to take, relative to it; nobody may write to them meanwhile.
        target: the archive; must not exist.
        about: what to say about it, for ``unpack``: ``kind``, ``name``, perhaps ``host``.

    Returns:
        How many files it holds.

    Raises:
        SnapshotError: the target is there already, a file is none, or the disk refuses.
    """
    if target.exists():
        raise SnapshotError(f"{target} is there already")
    stamp = {
        "schema": SCHEMA,
        "edgeproof": importlib.metadata.version("edgeproof"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
    }
    manifest: dict[str, dict[str, Any]] = {}
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with (
                gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_LEVEL, filename="") as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            ):
                _add_json(archive, _ABOUT, stamp)
                for path in paths:
                    manifest[path] = _add_file(archive, root / path, path)
                _add_json(archive, _MANIFEST, manifest)
            raw.flush()
            os.fsync(raw.fileno())
        try:
            os.link(temporary, target)  # unlike a rename it never replaces anything
        except FileExistsError as error:
            raise SnapshotError(f"{target} is there already") from error
    except OSError as error:
        raise SnapshotError(f"{target} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return len(manifest)


def unpack(archive: Path, root: Path) -> dict[str, Any]:
    """Check an archive and put its files into ``root``, all or none of them.

    Args:
        archive: what ``pack`` wrote.
        root: a folder that is empty or does not exist.

    Returns:
        What the archive says about itself: ``kind``, ``name``, ``created``, and ``host`` of a host's part.

    Raises:
        SnapshotError: the archive is damaged or foreign or cannot be read, ``root`` is not empty or is where
            this process works, or the disk refuses.
    """
    root = root.resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise SnapshotError(f"{root} is not empty; restore into another folder, or remove that one first")
    if root.exists() and root.samefile("."):
        # It is replaced as a whole: whoever stays in it would be left in a folder that is gone.
        raise SnapshotError(f"{root} is where you are: go out of it and name it, by --root {root.name}")
    staging = root.with_name(f".{root.name}.{secrets.token_hex(4)}.restoring")
    try:
        staging.mkdir(mode=0o700, parents=True)
        try:
            with gzip.open(archive, "rb") as raw, tarfile.open(fileobj=raw, mode="r|") as members:
                about = _extract(members, staging)
                # To the very end, where the sum of everything is checked.
                while chunk := raw.read(_CHUNK):
                    if chunk.strip(b"\0"):
                        raise ValueError("something follows its end")
        except _DAMAGED as error:
            raise SnapshotError(f"{archive} is damaged, or no archive of a network: {error}") from error
        if root.exists():
            root.rmdir()
        staging.rename(root)
    except OSError as error:  # it cannot be read, or the disk is full: nothing has got its place
        raise SnapshotError(f"{archive} cannot be restored into {root}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return about


def _add_json(archive: tarfile.TarFile, name: str, document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, io.BytesIO(content))


def _add_file(archive: tarfile.TarFile, file: Path, name: str) -> dict[str, Any]:
    if not file.is_file():
        raise SnapshotError(f"{file} is no plain file")
    with file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = status.st_size, status.st_mode & 0o777, int(status.st_mtime)
        hashed = _Hashed(opened)
        archive.addfile(member, hashed)
    return {"size": member.size, "mode": member.mode, "sha256": hashed.digest.hexdigest()}


class _Hashed:
    """A file that hashes what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


def _extract(members: tarfile.TarFile, folder: Path) -> dict[str, Any]:
    about: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    found: dict[str, Any] = {}
    for member, content in _plain(members):
        if manifest is not None:
            raise ValueError("something follows the manifest")
        if about is None:
            if member.name != _ABOUT:
                raise ValueError(f"it does not begin with {_ABOUT}")
            about = _about(content)
        elif member.name == _MANIFEST:
            manifest = _json(content)
        elif member.name in found:
            raise ValueError(f"{member.name} is there twice")
        else:
            found[member.name] = _write(folder / _safe(member.name), member, content)
    if about is None or manifest is None:
        raise ValueError("it was cut off")
    for name in sorted({*found, *manifest}):
        if found.get(name) != manifest.get(name):
            raise ValueError(f"{name} is not what the manifest says")
    return about


def _about(content: IO[bytes]) -> dict[str, Any]:
    about = _json(content)
    if about.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {about.get('schema')!r}, not {SCHEMA}")
    wanted = {"kind": "snapshot|host", "name": _NAME, "created": _CREATED}
    if about.get("kind") == "host":
        wanted["host"] = _NAME
    for key, pattern in wanted.items():
        value = about.get(key)
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError(f"{_ABOUT} does not say its {key}")
    return about


def _plain(members: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in members:
        content = members.extractfile(member) if member.isreg() else None
        if content is None:
            raise ValueError(f"{member.name} is no plain file")
        yield member, content


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or re.search(r"[\x00-\x1f]", name):
        raise ValueError(f"{name!r} is no path below the folder")
    if path.parts[0] in LEFT_OUT:
        raise ValueError(f"{name!r}: {path.parts[0]}/ is never in a copy")
    return path


def _json(content: IO[bytes]) -> dict[str, Any]:
    document = json.loads(content.read(_MAX_JSON))
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _write(path: Path, member: tarfile.TarInfo, content: IO[bytes]) -> dict[str, Any]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    mode = member.mode & 0o777
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode & 0o700 | 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        os.fchmod(file.fileno(), mode)
    return {"size": member.size, "mode": mode, "sha256": digest.hexdigest()}
