"""The port of the content-addressed store: what any backend promises.

An object's address is a hash of its bytes, so that a caller never trusts a backend: what comes back is the
object asked for, or an error. Two kinds of address exist. A *blob* is addressed by the SHA-256 of its bytes
(readings, manifests). A *tree* is addressed by the RFC 6962 root over its 64 KiB chunks (saved weights), so
that later a part of a large object can be shown alone.

A backend on an object store (S3) puts one pack (``store.packs``) as one object: the format needs no file
system. Its folder is then a listing, and its index the same cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["CHUNK_BYTES", "Damage", "Report", "Store"]

CHUNK_BYTES: Final = 64 * 1024
"""Size of a tree's chunks (the last one may be shorter); an empty object has no chunk."""


@dataclass(frozen=True)
class Damage:
    """One thing that verification found wrong."""

    file: str
    """Relative to the store's root."""
    address: bytes | None
    """The object at fault; None when the file as a whole cannot be read."""
    reason: str


@dataclass(frozen=True)
class Report:
    """What a walk over everything found."""

    packs: int
    objects: int
    size: int
    """Bytes of all objects."""
    damaged: tuple[Damage, ...]


class Store(Protocol):
    """Content-addressed objects: immutable, never deleted, verified on every read."""

    def put(self, data: bytes) -> bytes:
        """Keep ``data``; it is durable when this returns.

        Returns:
            Its SHA-256, 32 bytes. Putting the same bytes again is harmless and gives the same address.
        """
        ...

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        """Keep many objects at the price of one: all are durable when this returns.

        Returns:
            The SHA-256 of each item, in order.
        """
        ...

    def get(self, address: bytes) -> bytes:
        """The object of this SHA-256.

        Raises:
            NotFound: it is not held.
            Corrupt: what is held in its place has another hash.
        """
        ...

    def has(self, address: bytes) -> bool:
        """Whether an object of this SHA-256 is held (without reading it)."""
        ...

    def put_tree(self, data: bytes) -> bytes:
        """Keep ``data`` under its tree address; it is durable when this returns.

        Returns:
            The RFC 6962 root over its 64 KiB chunks, 32 bytes.
        """
        ...

    def get_tree(self, address: bytes) -> bytes:
        """The object of this tree address; errors as ``get``."""
        ...

    def has_tree(self, address: bytes) -> bool:
        """Whether an object of this tree address is held (without reading it)."""
        ...

    def verify(self) -> Report:
        """Read everything and check it against its address."""
        ...
