"""Snapshots: saved weights as canonical bytes, addressed by their tree hash.

A snapshot is a safetensors file without metadata, tensors in the order of their names, float32, finite. One
set of weights has one sequence of bytes: what decodes but does not encode to itself again is refused, so that
a snapshot cannot be given a second address.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from chaincode.api import Recipe
from protocol.merkle import tree_root
from store.port import CHUNK_BYTES
from training.errors import MalformedSnapshot
from training.models import Weights, check_weights, initial_weights

__all__ = ["decode_snapshot", "encode_snapshot", "initial_snapshot", "read_snapshot", "tree_hash"]

_MAX_BYTES: Final = 1 << 30


def encode_snapshot(weights: Weights) -> bytes:
    """The canonical bytes of ``weights``.

    Raises:
        MalformedSnapshot: no tensor, another type than float32, or a weight that is not finite.
    """
    if not weights:
        raise MalformedSnapshot("a snapshot has at least one tensor")
    for name, tensor in weights.items():
        if tensor.dtype != np.float32:
            raise MalformedSnapshot(f"{name} is {tensor.dtype}, not float32")
        if not bool(np.isfinite(tensor).all()):
            raise MalformedSnapshot(f"{name} has weights that are not finite")
    # safetensors writes the buffer as it lies in memory: a transposed view would be saved wrongly.
    ordered = {name: np.array(weights[name], order="C") for name in sorted(weights)}
    return bytes(save(ordered))


def decode_snapshot(data: bytes) -> Weights:
    """The weights of a snapshot, writable copies.

    Raises:
        MalformedSnapshot: the bytes are not what ``encode_snapshot`` would write for any weights.
    """
    if len(data) > _MAX_BYTES:
        raise MalformedSnapshot(f"a snapshot of {len(data)} bytes is beyond {_MAX_BYTES}")
    try:
        loaded = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise MalformedSnapshot(f"not a safetensors file: {error}") from error
    weights: Weights = {name: np.array(tensor) for name, tensor in sorted(loaded.items())}
    if encode_snapshot(weights) != data:
        raise MalformedSnapshot("not in canonical form (sorted names, no metadata)")
    return weights


def read_snapshot(recipe: Recipe, data: bytes) -> Weights:
    """The weights of a snapshot of the recipe's model.

    Raises:
        MalformedSnapshot: see ``decode_snapshot``.
        WrongShape: another model's weights.
    """
    weights = decode_snapshot(data)
    check_weights(recipe, weights)
    return weights


def initial_snapshot(recipe: Recipe) -> bytes:
    """M_0 of the recipe: model version 0 of a run."""
    return encode_snapshot(initial_weights(recipe))


def tree_hash(data: bytes) -> bytes:
    """The address that ``store.put_tree`` gives: RFC 6962 root over the 64 KiB chunks, 32 bytes."""
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
    return tree_root(chunks)
