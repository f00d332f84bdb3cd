"""One encoding for each value: fixed-width big-endian bytes, or the same as lower-case hex."""

import re

from accumulator.errors import EncodingError
from accumulator.parameters import Parameters

_LOWER_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)


def encode_value(parameters: Parameters, value: int) -> bytes:
    """The value as exactly `parameters.value_bytes` big-endian bytes.

    Raises:
        OutOfRange, NotInGroup: the value is not canonical.
    """
    return parameters.check_value(value).to_bytes(parameters.value_bytes, "big")


def decode_value(parameters: Parameters, raw: bytes) -> int:
    """The value that `raw` encodes; no other bytes decode to it.

    Raises:
        EncodingError: wrong width.
        OutOfRange, NotInGroup: the value is not canonical.
    """
    if len(raw) != parameters.value_bytes:
        raise EncodingError(f"an encoded value has {parameters.value_bytes} bytes, not {len(raw)}")
    return parameters.check_value(int.from_bytes(raw, "big"))


def encode_value_hex(parameters: Parameters, value: int) -> str:
    """As `encode_value`, in lower-case hex."""
    return encode_value(parameters, value).hex()


def decode_value_hex(parameters: Parameters, text: str) -> int:
    """As `decode_value`, from lower-case hex without any other character.

    Raises:
        EncodingError: upper case, blanks, an odd number of digits, or the wrong width.
        OutOfRange, NotInGroup: the value is not canonical.
    """
    if not _LOWER_HEX.fullmatch(text):
        raise EncodingError("not lower-case hex")
    return decode_value(parameters, bytes.fromhex(text))
