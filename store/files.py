"""The store on a file system: packs below ``packs/``, a lookup beside them that can be built again.

::

    <root>/packs/<first two digits>/<digest>.pack   one file a batch, immutable (``store.packs``)
    <root>/temporary/                               files being written; never read
    <root>/lookup/                                  SQLite cache: object to pack (``store.lookup``)

A pack is written aside, forced to disk, given its name, and its folder is forced to disk, before ``put_pack``
returns. A reader therefore sees a pack whole or not at all, and what was acknowledged survives any kill.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from store.errors import Corrupt, NotFound, Unavailable
from store.lookup import Lookup, Place
from store.packs import Entry, Header, Kind, MalformedHeader, address_of, build_header, read_header
from store.port import Damage, Report

__all__ = ["FileStore"]

_PACK_NAME: Final = re.compile(r"([0-9a-f]{64})\.pack\Z")
_FOLDERS: Final = [f"{number:02x}" for number in range(256)]
# A folder's time stamp has the clock's grain: a file that comes right after a listing may leave it unchanged.
_GRAIN_NS: Final = 2_000_000_000
_ABANDONED_SECONDS: Final = 3600.0


class FileStore:
    """Content-addressed objects below one folder; for any number of threads and processes at once.

    Args:
        root: the store's folder; made when missing.

    Raises:
        Unavailable: the folder cannot be made or read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._packs = root / "packs"
        self._temporary = root / "temporary"
        self._lookup = Lookup(root / "lookup", self._all_headers)
        self._lock = threading.Lock()
        self._listed: dict[str, int] = {}
        """Folder to its time stamp at the last listing; absent when the listing may have missed something."""
        try:
            self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._packs.mkdir(mode=0o700, exist_ok=True)
            present = {entry.name for entry in os.scandir(self._packs)}
            if missing := [name for name in _FOLDERS if name not in present]:
                for name in missing:
                    (self._packs / name).mkdir(mode=0o700, exist_ok=True)
                for folder in (self._packs, root, root.parent):
                    _force_folder(folder)
            self._sweep()
        except OSError as error:
            raise Unavailable(f"cannot use {root} as a store: {error.strerror}") from error

    def put(self, data: bytes) -> bytes:
        """See ``Store.put``."""
        return self.put_pack([data])[0]

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        """See ``Store.put_pack``: one file, one fsync of it and one of its folder."""
        addresses = [address_of(Kind.BLOB, item) for item in items]
        fresh = dict(zip(addresses, items, strict=True))
        for address in self._lookup.held(Kind.BLOB, fresh):
            if self._holds(Kind.BLOB, address):
                del fresh[address]
        if fresh:
            self._write([(Kind.BLOB, address, item) for address, item in fresh.items()])
        return addresses

    def put_tree(self, data: bytes) -> bytes:
        """See ``Store.put_tree``."""
        address = address_of(Kind.TREE, data)
        if not self._holds(Kind.TREE, address):
            self._write([(Kind.TREE, address, data)])
        return address

    def get(self, address: bytes) -> bytes:
        """See ``Store.get``."""
        return self._get(Kind.BLOB, address)

    def get_tree(self, address: bytes) -> bytes:
        """See ``Store.get_tree``."""
        return self._get(Kind.TREE, address)

    def has(self, address: bytes) -> bool:
        """See ``Store.has``."""
        return self._has(Kind.BLOB, address)

    def has_tree(self, address: bytes) -> bool:
        """See ``Store.has_tree``."""
        return self._has(Kind.TREE, address)

    def verify(self) -> Report:
        """See ``Store.verify``: reads every pack once; memory for one object at a time."""
        packs = objects = size = 0
        damaged: list[Damage] = []
        for path in self._pack_files():
            packs += 1
            try:
                with path.open("rb") as file:
                    header = self._read_header(file.fileno(), path)
                    if (length := os.fstat(file.fileno()).st_size) > header.size:
                        damaged.append(
                            Damage(self._relative(path), None, f"{length - header.size} bytes too many")
                        )
                    for entry in header.entries:
                        objects += 1
                        size += entry.length
                        try:
                            self._read_entry(file.fileno(), path, entry)
                        except Corrupt as error:
                            damaged.append(Damage(error.file, error.address, error.reason))
            except Corrupt as error:
                damaged.append(Damage(error.file, error.address, error.reason))
            except OSError as error:
                damaged.append(Damage(self._relative(path), None, f"cannot be read: {error.strerror}"))
        return Report(packs, objects, size, tuple(damaged))

    def close(self) -> None:
        """Let go of the lookup's file; the store opens it again when it is used again."""
        self._lookup.close()

    # ------------------------------------------------------------------ reading

    def _get(self, kind: Kind, address: bytes) -> bytes:
        places = self._places(kind, address)
        fault: Corrupt | None = None
        gone = ""
        for place in places:
            try:
                return self._read_place(kind, address, place)
            except FileNotFoundError:
                self._lookup.forget(place.pack)
                gone = f": its pack {place.pack} is gone"
            except Corrupt as error:
                fault = error
            except OSError as error:
                raise Unavailable(f"cannot read pack {place.pack}: {error.strerror}") from error
        if fault is not None:
            raise fault
        raise NotFound(address, gone)

    def _has(self, kind: Kind, address: bytes) -> bool:
        return any(self._path(place.pack).exists() for place in self._places(kind, address))

    def _holds(self, kind: Kind, address: bytes) -> bool:
        """Whether a sound copy is held: a damaged one must not keep the same bytes from being put again."""
        for place in self._lookup.places(kind, address):
            try:
                self._read_place(kind, address, place)
            except (Corrupt, OSError):
                continue
            return True
        return False

    def _places(self, kind: Kind, address: bytes) -> list[Place]:
        places = self._lookup.places(kind, address)
        if not places and self._refresh():
            places = self._lookup.places(kind, address)
        return places

    def _read_place(self, kind: Kind, address: bytes, place: Place) -> bytes:
        path = self._path(place.pack)
        with path.open("rb") as file:
            with contextlib.suppress(Corrupt):
                return self._read_entry(file.fileno(), path, Entry(kind, address, place.start, place.length))
            # The lookup may be what is wrong: the pack's own head decides.
            header = self._read_header(file.fileno(), path)
            for entry in header.entries:
                if (entry.kind, entry.address) == (kind, address):
                    data = self._read_entry(file.fileno(), path, entry)
                    self._lookup.add([header])
                    return data
        raise Corrupt(self._relative(path), address, "the pack does not hold it")

    def _read_entry(self, descriptor: int, path: Path, entry: Entry) -> bytes:
        size = os.fstat(descriptor).st_size
        if entry.offset < 0 or entry.length < 0 or entry.offset + entry.length > size:
            raise Corrupt(self._relative(path), entry.address, "the file is cut short")
        data = _read_exactly(descriptor, entry.offset, entry.length)
        if len(data) != entry.length or address_of(entry.kind, data) != entry.address:
            raise Corrupt(self._relative(path), entry.address, "its bytes have another hash")
        return data

    def _read_header(self, descriptor: int, path: Path) -> Header:
        try:
            header = read_header(lambda count: _read_exactly(descriptor, 0, count))
        except MalformedHeader as error:
            raise Corrupt(self._relative(path), None, str(error)) from error
        if path.name != f"{header.name}.pack":
            raise Corrupt(self._relative(path), None, "its head belongs to a pack of another name")
        return header

    # ------------------------------------------------------------------ writing

    def _write(self, items: Sequence[tuple[Kind, bytes, bytes]]) -> None:
        raw, header = build_header([(kind, address, len(data)) for kind, address, data in items])
        target = self._path(header.name)
        temporary = self._temporary / secrets.token_hex(16)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(raw)
                    for _, _, data in items:
                        file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _force_folder(target.parent)
        except OSError as error:
            raise Unavailable(f"cannot write a pack below {self._root}: {error.strerror}") from error
        # The objects are safe: a lookup that is busy only means that a later miss looks at the packs.
        with contextlib.suppress(Unavailable):
            self._lookup.add([header])

    def _sweep(self) -> None:
        """Remove what writers that were killed long ago left behind."""
        limit = time.time() - _ABANDONED_SECONDS
        for entry in os.scandir(self._temporary):
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < limit:
                    Path(entry.path).unlink()

    # ------------------------------------------------------------------ listing

    def _refresh(self) -> bool:
        """Bring packs that other processes wrote into the lookup; whether there were any."""
        found = False
        with self._lock:
            for folder in _FOLDERS:
                path = self._packs / folder
                try:
                    stamp = path.stat().st_mtime_ns
                    if self._listed.get(folder) == stamp:
                        continue
                    now = time.time_ns()
                    names = [
                        match[1] for entry in os.scandir(path) if (match := _PACK_NAME.match(entry.name))
                    ]
                    fresh = self._lookup.unknown(names)
                    if fresh:
                        # The writer may not have forced the name to disk yet; once it is in the lookup, a put
                        # of the same bytes would rely on it.
                        _force_folder(path)
                except OSError as error:
                    raise Unavailable(f"cannot list {path}: {error.strerror}") from error
                headers = list(self._headers(path / f"{name}.pack" for name in fresh))
                self._lookup.add(headers)
                found = found or bool(headers)
                if now - stamp > _GRAIN_NS:
                    self._listed[folder] = stamp
                else:
                    self._listed.pop(folder, None)
        return found

    def _all_headers(self) -> Iterator[Header]:
        for folder in sorted({path.parent for path in self._pack_files()}):
            _force_folder(folder)
        return self._headers(self._pack_files())

    def _headers(self, paths: Iterator[Path]) -> Iterator[Header]:
        for path in paths:
            # A pack whose head is damaged is left to ``verify``: one bad file must not hide the good ones.
            with contextlib.suppress(Corrupt, OSError), path.open("rb") as file:
                yield self._read_header(file.fileno(), path)

    def _pack_files(self) -> Iterator[Path]:
        for folder in _FOLDERS:
            yield from sorted((self._packs / folder).glob("*.pack"))

    def _path(self, pack: str) -> Path:
        return self._packs / pack[:2] / f"{pack}.pack"

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def _read_exactly(descriptor: int, offset: int, length: int) -> bytes:
    """As many of the bytes as there are: one ``pread`` gives at most 2 GiB."""
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(descriptor, min(length, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _force_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
