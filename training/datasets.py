"""Data sets: ordered record ids, whose bytes lie in the store and whose digests stand on the chain.

A reading of ``edgeproof/digits/v1`` is canonical JSON ``{"label": 0..9, "pixels": [64 integers 0..16]}``. A
record whose bytes are anything else stays in the manifest and is left out of the examples by everybody alike:
its bytes alone decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from chaincode.api import Recipe
from protocol.commitments import manifest_bytes, parse_manifest
from protocol.encodings import canonical_json, parse_canonical_json, sha256
from protocol.errors import EncodingError
from training.errors import BadManifest, BadReading, InvalidRecipe
from training.recipe import DIGITS

__all__ = [
    "MEDIA_TYPES",
    "DataSet",
    "check_selection",
    "decode_digit",
    "decode_readings",
    "digit_reading",
    "read_manifest",
]

MEDIA_TYPES: Final = {DIGITS: frozenset({"application/json", "application/vnd.edgeproof.digits.v1+json"})}
"""Content types whose records belong to a data set, by decoder."""

_PIXELS: Final = 64
_GREYS: Final = 16
_CLASSES: Final = 10


@dataclass(frozen=True)
class DataSet:
    """Examples of a step, ready for training."""

    manifest: bytes
    """Canonical JSON list of record ids, in order."""
    features: npt.NDArray[np.float32]
    """shape: (examples, features), each in 0 to 1."""
    labels: npt.NDArray[np.int64]
    """shape: (examples,)."""
    excluded: int
    """Records that are no examples."""

    @property
    def digest(self) -> bytes:
        """Address of the manifest: d_{i+1} of equation (2)."""
        return sha256(self.manifest)

    @property
    def examples(self) -> int:
        """How many examples there are: the weight of the step in an aggregate."""
        return len(self.labels)


def digit_reading(pixels: Sequence[int], label: int) -> bytes:
    """The bytes that a device sends for an image with its label.

    Raises:
        BadReading: it would not decode again.
    """
    raw = canonical_json({"label": int(label), "pixels": [int(pixel) for pixel in pixels]})
    decode_digit(raw)
    return raw


def decode_digit(raw: bytes) -> tuple[list[int], int]:
    """Pixels and label of a reading.

    Raises:
        BadReading: with what is wrong; never anything else, whatever the bytes.
    """
    try:
        value = parse_canonical_json(raw)
    except EncodingError as error:
        raise BadReading(f"not canonical JSON: {error}") from error
    if not isinstance(value, dict) or value.keys() != {"label", "pixels"}:
        raise BadReading("an object with label and pixels is wanted")
    pixels, label = value["pixels"], value["label"]
    if not isinstance(pixels, list) or len(pixels) != _PIXELS:
        raise BadReading(f"{_PIXELS} pixels are wanted")
    for pixel in pixels:
        if not isinstance(pixel, int) or isinstance(pixel, bool) or not 0 <= pixel <= _GREYS:
            raise BadReading(f"a pixel is an integer from 0 to {_GREYS}")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < _CLASSES:
        raise BadReading(f"a label is an integer from 0 to {_CLASSES - 1}")
    return pixels, label


def decode_readings(recipe: Recipe, records: Sequence[bytes], readings: Sequence[bytes]) -> DataSet:
    """The examples of a data set; records that are none are counted and left out.

    Args:
        recipe: names the decoder.
        records: record ids in order.
        readings: their bytes, in the same order.

    Raises:
        InvalidRecipe: an unknown decoder.
    """
    if recipe.data_set != DIGITS:
        raise InvalidRecipe(f"unknown data set {recipe.data_set!r}")
    images: list[list[int]] = []
    labels: list[int] = []
    for raw in readings:
        try:
            pixels, label = decode_digit(raw)
        except BadReading:
            continue
        images.append(pixels)
        labels.append(label)
    # Sixteenths are exact in float32.
    features = np.asarray(images, dtype=np.float32).reshape(len(images), _PIXELS) / np.float32(_GREYS)
    return DataSet(
        manifest=manifest_bytes(records),
        features=features,
        labels=np.asarray(labels, dtype=np.int64),
        excluded=len(readings) - len(labels),
    )


def read_manifest(raw: bytes) -> tuple[bytes, ...]:
    """The record ids of a manifest.

    Raises:
        BadManifest: malformed, empty, or a record named twice.
    """
    try:
        records = parse_manifest(raw)
    except EncodingError as error:
        raise BadManifest(str(error)) from error
    if not records:
        raise BadManifest("a data set has at least one record")
    return records


def check_selection(manifest: Sequence[bytes], recorded: Sequence[bytes], minimum: int) -> None:
    """Nobody picks and chooses: a data set is the chain's records from the first on, in the chain's order.

    Args:
        manifest: the data set.
        recorded: every record of the data set's media types on the chain, in order.
        minimum: how many of them stood there when the step's aggregate arrived; none of these may be missing.

    Raises:
        BadManifest: a record is skipped, out of order or unknown, or the list stops too early.
    """
    if len(manifest) < minimum:
        raise BadManifest(
            f"{len(manifest)} records, though {minimum} stood on the chain when the aggregate came"
        )
    if tuple(recorded[: len(manifest)]) != tuple(manifest):
        raise BadManifest("the records are not the chain's first ones in the chain's order")
