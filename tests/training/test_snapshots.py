"""Snapshots are canonical: one set of weights, one sequence of bytes, one address."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from store import FileStore
from training.errors import MalformedSnapshot, SnapshotError, WrongShape
from training.recipe import default_recipe
from training.snapshots import decode_snapshot, encode_snapshot, initial_snapshot, read_snapshot, tree_hash

tensors = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
weights = st.dictionaries(st.text("abc.", min_size=1, max_size=8), tensors, min_size=1, max_size=5)


@given(weights)
def test_round_trip(found):
    data = encode_snapshot(found)
    again = decode_snapshot(data)
    assert list(again) == sorted(found)
    for name, tensor in found.items():
        assert again[name].tobytes() == tensor.tobytes()
        assert again[name].shape == tensor.shape
    assert encode_snapshot(again) == data


@given(weights, st.randoms())
def test_order_of_names_does_not_matter(found, chance):
    names = list(found)
    chance.shuffle(names)
    assert encode_snapshot({name: found[name] for name in names}) == encode_snapshot(found)


def test_a_transposed_view_is_saved_by_its_values():
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert encode_snapshot({"a": tensor.T}) == encode_snapshot({"a": tensor.T.copy()})


def _with_header(data: bytes, change) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + size]))
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data[8 + size :]


A = np.ones(2, dtype=np.float32)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 64,
        save({"a": A}, metadata={"note": "x"}),
        save({"a": A.astype(np.float64)}),
        save({"a": A.astype(np.int32)}),
        save({"a": A * np.float32("nan")}),
        save({"a": A * np.float32("inf")}),
        save({}),
        save({"a": A}) + b"\x00",
        save({"a": A})[:-1],
        _with_header(save({"a": A}), lambda header: json.dumps(header).encode() + b"        "),
        _with_header(save({"a": A}), lambda header: {"a": {**header["a"], "dtype": "BF16"}}),
    ],
)
def test_what_is_not_canonical_is_refused(data):
    with pytest.raises(MalformedSnapshot):
        decode_snapshot(data)


@given(st.binary(max_size=200))
def test_garbage_is_a_typed_error(data):
    with pytest.raises(SnapshotError):
        decode_snapshot(data)


@given(st.data())
def test_any_flipped_byte_gives_other_weights_or_a_refusal(data):
    original = initial_snapshot(default_recipe("logistic"))
    position = data.draw(st.integers(0, len(original) - 1))
    flipped = bytearray(original)
    flipped[position] ^= data.draw(st.integers(1, 255))
    assert tree_hash(bytes(flipped)) != tree_hash(original)
    try:
        read_snapshot(default_recipe("logistic"), bytes(flipped))
    except SnapshotError:
        return
    assert position >= int.from_bytes(original[:8], "little") + 8  # only weights can change and still be read


@pytest.mark.parametrize("data", [b"x", b"x" * 65536, b"x" * 65537, bytes(range(256)) * 1024])
def test_tree_hash_is_the_stores_address(tmp_path, data):
    store = FileStore(tmp_path)
    assert store.put_tree(data) == tree_hash(data)
    store.close()


def test_another_models_snapshot_is_refused():
    with pytest.raises(WrongShape):
        read_snapshot(default_recipe("mlp"), initial_snapshot(default_recipe("logistic")))
