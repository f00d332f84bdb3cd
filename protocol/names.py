"""Grammars of the names that stand in signatures, state keys and bundles; each is written here alone.

All are matched against the whole text. None contains ``/``, which separates the parts of state keys; none
contains ``@``, which separates a device from the gateway that signs for it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CHAIN", "NAME", "NONCE", "ORGANISATION", "RUN"]

CHAIN: Final = r"[a-z][a-z0-9-]{0,62}"
"""A chain's id."""
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
"""A device, or a gateway's signing key."""
NONCE: Final = r"[A-Za-z0-9_-]{1,64}"
"""A reading's nonce."""
ORGANISATION: Final = r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}"
"""An organisation's MSP id."""
RUN: Final = r"[a-z0-9][a-z0-9-]{0,62}"
"""A training run."""
