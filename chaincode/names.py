"""Grammars of the names that become parts of state keys.

No name contains ``/``, so a key is never ambiguous; none contains ``@``, which separates a device from the
gateway that signs for it.
"""

from __future__ import annotations

import re
from typing import Final

from chaincode.errors import InvalidArgument

__all__ = [
    "check_chain",
    "check_digest",
    "check_name",
    "check_organisation",
    "check_run",
    "is_nonce",
]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_ORGANISATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_CHAIN: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_RUN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(value: str, what: str) -> None:
    """A device, a gateway key: letters, digits, ``.``, ``_``, ``:``, ``-``; at most 64.

    Raises:
        InvalidArgument: anything else.
    """
    _check(_NAME, value, what)


def check_organisation(value: str, what: str = "organisation") -> None:
    """An MSP id.

    Raises:
        InvalidArgument: anything else.
    """
    _check(_ORGANISATION, value, what)


def check_chain(value: str, what: str = "chain") -> None:
    """A chain id.

    Raises:
        InvalidArgument: anything else.
    """
    _check(_CHAIN, value, what)


def check_run(value: str, what: str = "run") -> None:
    """A run's name.

    Raises:
        InvalidArgument: anything else.
    """
    _check(_RUN, value, what)


def check_digest(value: bytes, what: str) -> None:
    """A digest or an address: 32 bytes.

    Raises:
        InvalidArgument: another length.
    """
    if len(value) != 32:
        raise InvalidArgument(f"{what} must be 32 bytes, not {len(value)}")


def is_nonce(value: str) -> bool:
    """Whether ``value`` is 1 to 64 characters of A-Z a-z 0-9 - _."""
    return _NONCE.fullmatch(value) is not None


def _check(grammar: re.Pattern[str], value: str, what: str) -> None:
    if grammar.fullmatch(value) is None:
        raise InvalidArgument(f"{what} {value[:80]!r} does not match {grammar.pattern}")
