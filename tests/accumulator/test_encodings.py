import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    AccumulatorError,
    EncodingError,
    NotInGroup,
    OutOfRange,
    decode_value,
    decode_value_hex,
    encode_value,
    encode_value_hex,
    verify_membership,
)


@settings(deadline=None)
@given(st.integers(2, 2**600))
def test_round_trip(parameters, number):
    value = parameters.group.canonical(number)
    try:
        parameters.check_value(value)
    except AccumulatorError:
        return
    raw = encode_value(parameters, value)
    assert len(raw) == parameters.value_bytes
    assert decode_value(parameters, raw) == value
    text = encode_value_hex(parameters, value)
    assert text == raw.hex()
    assert decode_value_hex(parameters, text) == value


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=66) | st.binary(min_size=64, max_size=64))
def test_any_bytes_decode_to_what_encodes_to_them_or_are_refused(parameters, raw):
    try:
        value = decode_value(parameters, raw)
    except AccumulatorError:
        return
    assert encode_value(parameters, value) == raw


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_fuzzed_membership_witness_never_verifies(parameters, elements, data):
    raw = bytearray(encode_value(parameters, elements.witnesses[0]))
    mask = data.draw(st.binary(min_size=len(raw), max_size=len(raw)).filter(any))
    fuzzed = bytes(a ^ b for a, b in zip(raw, mask, strict=True))
    with pytest.raises(AccumulatorError):
        verify_membership(
            parameters, elements.value_after, elements.primes[0], decode_value(parameters, fuzzed)
        )


def test_every_flipped_bit_is_refused(parameters, elements):
    raw = encode_value(parameters, elements.witnesses[0])
    for bit in range(8 * len(raw)):
        flipped = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(len(raw), "big")
        with pytest.raises(AccumulatorError):
            verify_membership(
                parameters, elements.value_after, elements.primes[0], decode_value(parameters, flipped)
            )


def test_non_canonical_values_have_no_encoding(parameters, factors):
    n, g = parameters.modulus.n, parameters.generator
    width = parameters.value_bytes
    for value in (0, 1, n - 1, n - g, n, (n + 1) // 2):
        with pytest.raises(OutOfRange):
            encode_value(parameters, value)
        with pytest.raises(OutOfRange):
            decode_value(parameters, value.to_bytes(width, "big"))
    with pytest.raises(OutOfRange):  # 4 + N fits the width and is another spelling of 4
        decode_value(parameters, (4 + n).to_bytes(width, "big"))
    assert decode_value(parameters, (4).to_bytes(width, "big")) == 4
    for value in factors:
        with pytest.raises(NotInGroup):
            encode_value(parameters, value)
        with pytest.raises(NotInGroup):
            decode_value(parameters, value.to_bytes(width, "big"))


def test_other_widths_and_texts_are_refused(parameters):
    raw = encode_value(parameters, parameters.generator)
    for bad in (b"", raw[1:], b"\0" + raw, raw + b"\0", raw[:-1]):
        with pytest.raises(EncodingError):
            decode_value(parameters, bad)
    text = raw.hex()
    for bad in ("", text.upper(), " " + text, text + "\n", "0x" + text, text[1:], text[:-1] + "g", text[:-2]):
        with pytest.raises(EncodingError):
            decode_value_hex(parameters, bad)
    wide_digits = "".join(chr(0xFF10 + int(c)) if c.isdigit() else c for c in text)
    with pytest.raises(EncodingError):
        decode_value_hex(parameters, wide_digits)
