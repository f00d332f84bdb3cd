"""Merkle trees against the published reference tree and against RFC 6962's own recursion."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MerkleError, SchemaMismatch
from protocol.merkle import (
    Frontier,
    consistency_path,
    inclusion_path,
    inclusion_paths,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/protocol/rfc6962.json").read_text())
LEAVES = [bytes.fromhex(leaf) for leaf in PUBLISHED["leaves"]]
ROOTS = [bytes.fromhex(root) for root in PUBLISHED["roots"]]
SIZES = range(65)
SAMPLE = [b"leaf %d" % number for number in range(64)]


def path_of(entry):
    return tuple(bytes.fromhex(node) for node in entry["path"])


def flip(value: bytes, bit: int = 0) -> bytes:
    return bytes([value[0] ^ (1 << bit)]) + value[1:]


def recursive_root(leaves):
    """MTH of RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


def test_published_roots():
    assert [tree_root(LEAVES[:size]) for size in range(9)] == ROOTS


@pytest.mark.parametrize(
    "entry", PUBLISHED["inclusion"], ids=lambda entry: f"{entry['index']}of{entry['size']}"
)
def test_published_inclusion_paths(entry):
    index, size = entry["index"], entry["size"]
    assert inclusion_path(LEAVES[:size], index) == path_of(entry)
    verify_inclusion(ROOTS[size], size, index, LEAVES[index], path_of(entry))


@pytest.mark.parametrize(
    "entry", PUBLISHED["consistency"], ids=lambda entry: f"{entry['old']}to{entry['new']}"
)
def test_published_consistency_paths(entry):
    old, new = entry["old"], entry["new"]
    assert consistency_path(LEAVES, old, new) == path_of(entry)
    verify_consistency(old, new, ROOTS[old], ROOTS[new], path_of(entry))


def test_root_and_frontier_equal_the_recursion_for_every_size():
    frontier = Frontier()
    for size in SIZES:
        expected = recursive_root(SAMPLE[:size])
        assert tree_root(SAMPLE[:size]) == expected
        assert frontier.root() == expected
        assert frontier.size == size
        assert Frontier.from_json(frontier.to_json()).root() == expected
        if size < 64:
            frontier.append(SAMPLE[size])


def test_every_inclusion_path_holds_and_its_length_decides():
    for size in SIZES[1:]:
        leaves = SAMPLE[:size]
        root = tree_root(leaves)
        paths = list(inclusion_paths(leaves))
        for index in range(size):
            path = inclusion_path(leaves, index)
            assert path == paths[index]
            verify_inclusion(root, size, index, leaves[index], path)
            with pytest.raises(MerkleError):
                verify_inclusion(root, size, index, leaves[index] + b"!", path)
            with pytest.raises(MerkleError):
                verify_inclusion(root, size, index, leaves[index], (*path, root))
            if path:
                with pytest.raises(MerkleError):
                    verify_inclusion(root, size, index, leaves[index], path[:-1])
            if size > 1:
                with pytest.raises(MerkleError):
                    verify_inclusion(root, size, (index + 1) % size, leaves[index], path)


def test_every_consistency_path_holds():
    roots = [tree_root(SAMPLE[:size]) for size in SIZES]
    for new in SIZES:
        for old in range(new + 1):
            path = consistency_path(SAMPLE, old, new)
            verify_consistency(old, new, roots[old], roots[new], path)
            with pytest.raises(MerkleError):
                verify_consistency(old, new, roots[old], roots[new], (*path, roots[new]))
            with pytest.raises(MerkleError):
                verify_consistency(old, new, flip(roots[old]), roots[new], path)
            if path:
                with pytest.raises(MerkleError):
                    verify_consistency(old, new, roots[old], flip(roots[new]), path)
                with pytest.raises(MerkleError):
                    verify_consistency(old, new, roots[old], roots[new], path[:-1])


@given(size=st.integers(1, 64), data=st.data())
def test_no_altered_node_is_included(size, data):
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(SAMPLE[:size], index)
    root = tree_root(SAMPLE[:size])
    altered = list(path)
    where = data.draw(st.integers(0, len(path)))
    bit = data.draw(st.integers(0, 7))
    if where == len(path):
        root = flip(root, bit)
    else:
        altered[where] = flip(path[where], bit)
    with pytest.raises(MerkleError):
        verify_inclusion(root, size, index, SAMPLE[index], altered)


@given(
    sizes=st.tuples(st.integers(1, 64), st.integers(1, 64)).map(sorted).filter(lambda s: s[0] < s[1]),
    data=st.data(),
)
def test_no_altered_node_is_consistent(sizes, data):
    old, new = sizes
    path = list(consistency_path(SAMPLE, old, new))
    where = data.draw(st.integers(0, len(path) - 1))
    path[where] = flip(path[where], data.draw(st.integers(0, 7)))
    with pytest.raises(MerkleError):
        verify_consistency(old, new, tree_root(SAMPLE[:old]), tree_root(SAMPLE[:new]), path)


@given(st.lists(st.binary(max_size=40), max_size=64), st.data())
def test_another_history_is_not_consistent(leaves, data):
    if len(leaves) < 2:
        return
    old = data.draw(st.integers(1, len(leaves) - 1))
    changed = data.draw(st.integers(0, old - 1))
    forged = list(leaves)
    forged[changed] += b"!"
    path = consistency_path(forged, old, len(forged))
    with pytest.raises(MerkleError):
        verify_consistency(old, len(forged), tree_root(leaves[:old]), tree_root(forged), path)


def test_a_node_does_not_pass_for_a_leaf():
    inner = leaf_hash(b"a") + leaf_hash(b"b")
    assert node_hash(leaf_hash(b"a"), leaf_hash(b"b")) == tree_root([b"a", b"b"])
    assert tree_root([inner]) != tree_root([b"a", b"b"])
    with pytest.raises(MerkleError):
        verify_inclusion(tree_root([b"a", b"b"]), 1, 0, inner, ())


@pytest.mark.parametrize(("size", "index"), [(0, 0), (3, 3), (3, -1), (-1, 0)])
def test_indices_outside_the_tree(size, index):
    with pytest.raises(MerkleError):
        verify_inclusion(ROOTS[3], size, index, LEAVES[0], ())


def test_sizes_out_of_order_and_short_hashes():
    with pytest.raises(MerkleError):
        verify_consistency(3, 2, ROOTS[3], ROOTS[2], ())
    with pytest.raises(MerkleError):
        verify_consistency(-1, 2, ROOTS[0], ROOTS[2], ())
    with pytest.raises(MerkleError):
        verify_consistency(0, 2, ROOTS[1], ROOTS[2], ())
    with pytest.raises(MerkleError):
        verify_inclusion(ROOTS[2], 2, 0, LEAVES[0], (leaf_hash(LEAVES[1])[:-1],))


def test_paths_that_cannot_be_made():
    with pytest.raises(IndexError):
        inclusion_path(LEAVES, 8)
    with pytest.raises(IndexError):
        consistency_path(LEAVES, 5, 4)
    with pytest.raises(IndexError):
        consistency_path(LEAVES, 5, 9)


def test_a_copied_frontier_is_independent():
    first = Frontier()
    first.append(b"a")
    second = first.copy()
    second.append(b"b")
    assert (first.root(), first.size) == (tree_root([b"a"]), 1)
    assert second.root() == tree_root([b"a", b"b"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"nodes": []},
        {"nodes": [], "size": 1},
        {"nodes": [], "size": 0, "more": 1},
        {"nodes": ["00"], "size": 1},
        {"nodes": ["zz" * 32], "size": 1},
        {"nodes": ["AB" * 32], "size": 1},
        {"nodes": [7], "size": 1},
        {"nodes": [], "size": -1},
        {"nodes": ["00" * 32], "size": True},
    ],
)
def test_what_is_no_frontier(value):
    with pytest.raises(SchemaMismatch):
        Frontier.from_json(value)
