"""Refuses names that do not fit their grammar (``protocol.names``): they become parts of state keys."""

from __future__ import annotations

import re
from typing import Final

from chaincode.errors import InvalidArgument
from protocol import names

__all__ = [
    "check_chain",
    "check_digest",
    "check_name",
    "check_organisation",
    "check_run",
    "is_nonce",
]

_NAME: Final = re.compile(names.NAME)
_ORGANISATION: Final = re.compile(names.ORGANISATION)
_CHAIN: Final = re.compile(names.CHAIN)
_RUN: Final = re.compile(names.RUN)
_NONCE: Final = re.compile(names.NONCE)


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
