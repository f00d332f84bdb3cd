"""Readings that are no examples are typed errors, and left out by everybody alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.commitments import manifest_bytes
from protocol.encodings import sha256
from training.datasets import check_selection, decode_digit, decode_readings, digit_reading, read_manifest
from training.errors import BadManifest, BadReading
from training.recipe import default_recipe

GOOD = digit_reading([n % 17 for n in range(64)], 3)


def _json(**fields) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


PIXELS = [0] * 64
BAD = {
    "empty": b"",
    "not json": b"\xff\xfe",
    "list": b"[]",
    "unknown field": _json(label=1, pixels=PIXELS, extra=1),
    "no label": _json(pixels=PIXELS),
    "white space": json.dumps({"label": 1, "pixels": PIXELS}, sort_keys=True).encode(),
    "duplicate key": b'{"label":1,"label":2,"pixels":[]}',
    "63 pixels": _json(label=1, pixels=PIXELS[1:]),
    "65 pixels": _json(label=1, pixels=[*PIXELS, 0]),
    "pixel 17": _json(label=1, pixels=[17, *PIXELS[1:]]),
    "pixel -1": _json(label=1, pixels=[-1, *PIXELS[1:]]),
    "float pixel": _json(label=1, pixels=[0.5, *PIXELS[1:]]),
    "true pixel": _json(label=1, pixels=[True, *PIXELS[1:]]),
    "text pixel": _json(label=1, pixels=["1", *PIXELS[1:]]),
    "label 10": _json(label=10, pixels=PIXELS),
    "label -1": _json(label=-1, pixels=PIXELS),
    "true label": _json(label=True, pixels=PIXELS),
    "null label": _json(label=None, pixels=PIXELS),
    "pixels object": _json(label=1, pixels={}),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_a_bad_reading_is_a_typed_error(raw):
    with pytest.raises(BadReading):
        decode_digit(raw)


@given(st.one_of(st.binary(max_size=64), st.text(max_size=64).map(str.encode)))
def test_garbage_is_a_typed_error(raw):
    with pytest.raises(BadReading):
        decode_digit(raw)


@given(st.lists(st.integers(0, 16), min_size=64, max_size=64), st.integers(0, 9))
def test_a_reading_says_what_it_is(pixels, label):
    assert decode_digit(digit_reading(pixels, label)) == (pixels, label)


def test_a_reading_that_would_not_decode_is_never_made():
    with pytest.raises(BadReading):
        digit_reading([99] * 64, 1)


@given(st.lists(st.sampled_from([GOOD, *BAD.values()]), max_size=20))
def test_bad_readings_are_left_out_and_counted(readings):
    records = [sha256(bytes([position])) for position in range(len(readings))]
    found = decode_readings(default_recipe(), records, readings)
    good = readings.count(GOOD)
    assert (found.examples, found.excluded) == (good, len(readings) - good)
    assert found.features.shape == (good, 64)
    assert found.features.dtype == np.float32
    assert found.labels.tolist() == [3] * good
    # The manifest names every record: what is left out is everybody's own finding.
    assert found.manifest == manifest_bytes(records)
    assert found.digest == sha256(found.manifest)


def test_pixels_become_sixteenths():
    features = decode_readings(default_recipe(), [b"\x00" * 32], [GOOD]).features
    assert features[0].tolist() == [(n % 17) / 16 for n in range(64)]


A, B, C = (sha256(bytes([n])) for n in range(3))


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'["zz"]', b"[1]", manifest_bytes([A]) + b" ", manifest_bytes([A, A])]
)
def test_a_bad_manifest_is_a_typed_error(raw):
    with pytest.raises(BadManifest):
        read_manifest(raw)


def test_a_manifest_round_trips():
    assert read_manifest(manifest_bytes([B, A])) == (B, A)


@pytest.mark.parametrize("manifest", [(A,), (A, B), (A, B, C)])
def test_the_chains_first_records_are_a_selection(manifest):
    check_selection(manifest, (A, B, C), 1)


@pytest.mark.parametrize(
    ("manifest", "minimum"),
    [((B,), 1), ((B, A), 1), ((A, C), 1), ((A, B, C, sha256(b"z")), 1), ((A,), 2), ((), 1)],
)
def test_nobody_picks_and_chooses(manifest, minimum):
    with pytest.raises(BadManifest):
        check_selection(manifest, (A, B, C), minimum)
