"""RFC 6962 Merkle trees (Certificate Transparency, section 2.1; RFC 9162 restates the verification).

One tree shape serves batches of records (leaves: encoded ``RecordLeaf``), whole chains (leaves: element
digests) and stored snapshots (leaves: chunks). Leaves and nodes are hashed under different prefixes, so that
no node passes for a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.encodings import Json, from_json, to_json
from protocol.errors import MerkleError, SchemaMismatch

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "consistency_path",
    "inclusion_path",
    "inclusion_paths",
    "leaf_hash",
    "node_hash",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || data), 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf data in order, 32 bytes. Cost: two hashes a leaf."""
    level = [leaf_hash(data) for data in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf ``index``, from the leaf's sibling upwards (RFC 6962, 2.1.1).

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} in a tree of {len(leaves)}")
    return _path(_levels(leaves), index)


def inclusion_paths(leaves: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """The audit paths of all leaves in order; the tree is hashed once."""
    levels = _levels(leaves)
    return (_path(levels, index) for index in range(len(leaves)))


def verify_inclusion(root: bytes, size: int, index: int, leaf_data: bytes, path: Sequence[bytes]) -> None:
    """Check that ``leaf_data`` is leaf ``index`` of the tree with that size and root (RFC 9162, 2.1.3.2).

    Raises:
        MerkleError: the index lies outside, the path has another length, or the roots differ.
    """
    if not 0 <= index < size:
        raise MerkleError(f"no leaf {index} in a tree of {size}")
    _check_hashes(root, *path)
    node, last = index, size - 1
    value = leaf_hash(leaf_data)
    for sibling in path:
        if last == 0:
            raise MerkleError("the inclusion path is too long")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            # A right-most node without a sibling moves up unchanged until it is a right child.
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise MerkleError("the inclusion path is too short")
    if value != root:
        raise MerkleError("the inclusion path leads to another root")


def consistency_path(leaves: Sequence[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """Proof that the tree of the first ``new`` leaves continues that of the first ``old`` (RFC 6962, 2.1.2).

    Empty for ``old`` 0 (anything continues nothing) and for ``old == new``.

    Raises:
        IndexError: not 0 <= old <= new <= len(leaves).
    """
    if not 0 <= old <= new <= len(leaves):
        raise IndexError(f"no consistency path from {old} to {new} in a tree of {len(leaves)}")
    if old in (0, new):
        return ()
    hashes = [leaf_hash(data) for data in leaves[:new]]
    return tuple(_subproof(hashes, 0, new, old, whole=True))


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the newer tree holds the older one's leaves, in order, at its start (RFC 9162, 2.1.4.2).

    Raises:
        MerkleError: sizes out of order, a path of another length, or a root that is not reached.
    """
    if not 0 <= old_size <= new_size:
        raise MerkleError(f"a tree of {new_size} does not continue one of {old_size}")
    _check_hashes(old_root, new_root, *path)
    if old_size == new_size or old_size == 0:
        if path:
            raise MerkleError("the consistency path is too long")
        if old_size == new_size and old_root != new_root:
            raise MerkleError("two roots for one size")
        if old_size == 0 and old_root != EMPTY_ROOT:
            raise MerkleError("the root of the empty tree is another")
        return
    hashes = list(path)
    if old_size & (old_size - 1) == 0:  # a perfect tree is a node of the newer one: its root opens the path
        hashes.insert(0, old_root)
    if not hashes:
        raise MerkleError("the consistency path is too short")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old_value = new_value = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise MerkleError("the consistency path is too long")
        if node & 1 or node == last:
            old_value = node_hash(sibling, old_value)
            new_value = node_hash(sibling, new_value)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new_value = node_hash(new_value, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise MerkleError("the consistency path is too short")
    if old_value != old_root:
        raise MerkleError("the consistency path leads to another old root")
    if new_value != new_root:
        raise MerkleError("the consistency path leads to another new root")


class Frontier:
    """The right edge of a growing tree: enough to append and to name the root, nothing to prove with.

    It keeps one hash for each one-bit of the size: the roots of the perfect subtrees, largest first.
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        """The frontier of a tree of ``size`` leaves (an empty one by default).

        Raises:
            ValueError: not one 32-byte node for each one-bit of the size.
        """
        if size < 0 or len(nodes) != size.bit_count():
            raise ValueError(f"a frontier of size {size} does not have {len(nodes)} nodes")
        if any(len(node) != 32 for node in nodes):
            raise ValueError("a frontier's node is 32 bytes")
        self._size = size
        self._nodes = list(nodes)

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, largest first."""
        return tuple(self._nodes)

    def append(self, leaf_data: bytes) -> None:
        """Add a leaf. Cost: two hashes on average."""
        value = leaf_hash(leaf_data)
        size = self._size
        while size & 1:
            value = node_hash(self._nodes.pop(), value)
            size >>= 1
        self._nodes.append(value)
        self._size += 1

    def root(self) -> bytes:
        """``tree_root`` of all leaves so far, 32 bytes."""
        if not self._nodes:
            return EMPTY_ROOT
        value = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            value = node_hash(node, value)
        return value

    def copy(self) -> Frontier:
        """An independent frontier of the same tree."""
        return Frontier(self._size, self._nodes)

    def to_json(self) -> Json:
        """``{"nodes": [hex], "size": n}``."""
        return to_json(_FrontierState(self.nodes, self._size))

    @classmethod
    def from_json(cls, value: Json) -> Frontier:
        """The frontier that ``to_json`` wrote.

        Raises:
            SchemaMismatch: anything else.
        """
        state = from_json(_FrontierState, value)
        try:
            return cls(state.size, state.nodes)
        except ValueError as error:
            raise SchemaMismatch(f"no frontier: {error}") from error


@dataclass(frozen=True)
class _FrontierState:
    nodes: tuple[bytes, ...]
    size: int


def _parents(level: list[bytes]) -> list[bytes]:
    parents = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    if len(level) & 1:
        parents.append(level[-1])
    return parents


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    levels = [[leaf_hash(data) for data in leaves]]
    while len(levels[-1]) > 1:
        levels.append(_parents(levels[-1]))
    return levels


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return tuple(path)


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(hashes: list[bytes], start: int, end: int) -> bytes:
    level = hashes[start:end]
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _subproof(hashes: list[bytes], start: int, end: int, old: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(old, D[start:end], whole) of RFC 6962, 2.1.2; ``old`` counts from ``start``."""
    size = end - start
    if old == size:
        return [] if whole else [_range_root(hashes, start, end)]
    split = _split(size)
    middle = start + split
    if old <= split:
        return [*_subproof(hashes, start, middle, old, whole=whole), _range_root(hashes, middle, end)]
    right = _subproof(hashes, middle, end, old - split, whole=False)
    return [*right, _range_root(hashes, start, middle)]


def _check_hashes(*values: bytes) -> None:
    if any(len(value) != 32 for value in values):
        raise MerkleError("a hash of the tree is 32 bytes")
