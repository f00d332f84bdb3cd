"""The pack: one file that holds the objects of one batch. Pure: bytes in, bytes out.

::

    magic    8 bytes   "EPPACK1\\n"
    count    4 bytes   big-endian, 1 to 65536
    entries  count × (kind 1 byte, address 32 bytes, length 8 bytes big-endian)
    digest   32 bytes  SHA-256 of everything above
    payloads           one after another, in the order of the entries, to the end of the file

The digest is the pack's name. It binds every address, and each address binds its payload, so that one name
stands for one content: writing the same pack twice writes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from protocol.merkle import tree_root
from store.errors import TooLarge
from store.port import CHUNK_BYTES

__all__ = [
    "MAX_OBJECT_BYTES",
    "Entry",
    "Header",
    "Kind",
    "MalformedHeader",
    "address_of",
    "build_header",
    "header_bytes",
    "read_header",
    "tree_address",
]

_MAGIC: Final = b"EPPACK1\n"
_COUNT: Final = struct.Struct(">I")
_ENTRY: Final = struct.Struct(">B32sQ")
_PREFIX_BYTES: Final = len(_MAGIC) + _COUNT.size
_DIGEST_BYTES: Final = 32
_MAX_COUNT: Final = 65536
MAX_OBJECT_BYTES: Final = 2**40
"""A length beyond this is damage, not data."""


class Kind(IntEnum):
    """What an object's address is."""

    BLOB = 0
    """SHA-256 of the bytes."""
    TREE = 1
    """RFC 6962 root over the bytes' 64 KiB chunks."""


class MalformedHeader(ValueError):
    """The bytes are not the head of a pack; the store turns this into ``Corrupt`` with the file's name."""


@dataclass(frozen=True)
class Entry:
    """One object of a pack."""

    kind: Kind
    address: bytes
    offset: int
    """From the start of the file, bytes."""
    length: int


@dataclass(frozen=True)
class Header:
    """What the head of a pack says."""

    name: str
    """Hex of the head's digest: the pack's name."""
    entries: tuple[Entry, ...]
    size: int
    """Length of the whole pack, bytes."""


def tree_address(data: bytes) -> bytes:
    """RFC 6962 root over the 64 KiB chunks of ``data``, 32 bytes."""
    view = memoryview(data)
    return tree_root([bytes(view[start : start + CHUNK_BYTES]) for start in range(0, len(data), CHUNK_BYTES)])


def address_of(kind: Kind, data: bytes) -> bytes:
    """The address that ``data`` has as an object of this kind, 32 bytes."""
    return sha256(data).digest() if kind is Kind.BLOB else tree_address(data)


def header_bytes(count: int) -> int:
    """Length of the head of a pack of ``count`` objects, bytes."""
    return _PREFIX_BYTES + count * _ENTRY.size + _DIGEST_BYTES


def build_header(items: Sequence[tuple[Kind, bytes, int]]) -> tuple[bytes, Header]:
    """The head of a pack, for objects given as (kind, address, length) in the order of their payloads.

    Raises:
        TooLarge: no object, more than 65536, or one of more than 2^40 bytes.
    """
    if not 1 <= len(items) <= _MAX_COUNT:
        raise TooLarge(f"a pack holds 1 to {_MAX_COUNT} objects, not {len(items)}")
    if any(length > MAX_OBJECT_BYTES for _, _, length in items):
        raise TooLarge(f"an object of more than {MAX_OBJECT_BYTES} bytes")
    raw = b"".join(
        [
            _MAGIC,
            _COUNT.pack(len(items)),
            *(_ENTRY.pack(kind, address, length) for kind, address, length in items),
        ]
    )
    raw += sha256(raw).digest()
    return raw, read_header(lambda _count: raw)


def read_header(read: Callable[[int], bytes]) -> Header:
    """Parse the head of a pack.

    Args:
        read: gives the first so many bytes of the pack (fewer where it ends earlier). Asked twice: the count
            tells how long the head is.

    Raises:
        MalformedHeader: with what is wrong.
    """
    prefix = read(_PREFIX_BYTES)[:_PREFIX_BYTES]
    if len(prefix) < _PREFIX_BYTES or not prefix.startswith(_MAGIC):
        raise MalformedHeader("it does not begin as a pack")
    (count,) = _COUNT.unpack_from(prefix, len(_MAGIC))
    if not 1 <= count <= _MAX_COUNT:
        raise MalformedHeader(f"it claims {count} objects")
    wanted = header_bytes(count)
    raw = read(wanted)[:wanted]
    if len(raw) < wanted:
        raise MalformedHeader("its head is cut short")
    body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
    if sha256(body).digest() != digest:
        raise MalformedHeader("its head does not have the digest that it states")
    entries: list[Entry] = []
    offset = wanted
    for kind, address, length in _ENTRY.iter_unpack(body[_PREFIX_BYTES:]):
        if kind not in (Kind.BLOB, Kind.TREE) or length > MAX_OBJECT_BYTES:
            raise MalformedHeader("an entry of its head makes no sense")
        entries.append(Entry(Kind(kind), address, offset, length))
        offset += length
    return Header(name=digest.hex(), entries=tuple(entries), size=offset)
