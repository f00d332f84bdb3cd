"""Hashing with a domain tag and length-prefixed fields, so that no two inputs meet in one string."""

import hashlib
from collections.abc import Iterable


def _framed(tag: str, fields: Iterable[bytes]) -> bytes:
    """The unambiguous concatenation: each part after its length as eight big-endian bytes."""
    parts = [tag.encode(), *fields]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def tagged_hash(tag: str, *fields: bytes) -> bytes:
    """SHA-256 over the framed tag and fields: 32 bytes."""
    return hashlib.sha256(_framed(tag, fields)).digest()


def tagged_bytes(length: int, tag: str, *fields: bytes) -> bytes:
    """SHAKE-256 over the framed tag and fields: `length` bytes."""
    return hashlib.shake_256(_framed(tag, fields)).digest(length)


def integer_bytes(value: int) -> bytes:
    """Shortest big-endian form of a non-negative integer (zero is one zero byte)."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
