"""The trust root: what a verifier takes for granted, chain by chain (``trust.json``).

It is the only thing that is not proved. People read and compare it, so white space is allowed; anything else
is as strict as in a bundle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Final

from accumulator.errors import AccumulatorError
from accumulator.parameters import ORIGINS, Modulus, Parameters
from protocol.anchors import Roster
from protocol.constraints import (
    Base64,
    ChainId,
    Choices,
    Count,
    Digest,
    Ordinal,
    check_ascending,
    check_fields,
    from_base64,
)
from protocol.encodings import from_json, parse_json, to_json
from protocol.errors import ProtocolError
from protocol.rosters import check_roster

__all__ = ["TRUST_SCHEMA", "ChainTrust", "Checkpoint", "TrustRoot", "parse_trust", "serialise_trust"]

TRUST_SCHEMA: Final = "edgeproof/trust/v1"


@dataclass(frozen=True)
class Checkpoint:
    """The newest statement of a chain that the verifier knows to be right."""

    number: Count
    """0: none is known."""
    statement: bytes
    """Digest of the statement, 32 bytes; empty when none is known."""

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.statement) != (32 if self.number else 0):
            raise ValueError("statement is 32 bytes, and empty for number 0")


@dataclass(frozen=True)
class ChainTrust:
    """What is taken for granted about one chain."""

    chain: ChainId
    genesis_hash: Digest
    """Hash of block 0's header."""
    config_blocks: tuple[Base64, ...]
    """The chain's configuration blocks as far as they are known, block 0 first, none left out.

    Orderers' signatures and endorsements are checked under the one in force at a block's height. Later ones
    come with the evidence, each verified under the one before; a block that names an older one than is known
    here is refused.
    """
    roster: Roster
    """Who signs the chain's anchors."""
    modulus: bytes
    """Modulus of the accumulator, big-endian without leading zeros."""
    origin: Annotated[str, Choices(tuple(sorted(ORIGINS)))]
    """Where the modulus comes from; whoever knows its factors can forge."""
    policy: Ordinal
    """Distinct organisations that must have endorsed a transaction, whatever the configuration says."""
    checkpoint: Checkpoint

    def __post_init__(self) -> None:
        check_fields(self)
        if self.roster.chain != self.chain:
            raise ValueError("the roster is another chain's")
        if not self.config_blocks:
            raise ValueError("there is no configuration block")
        if self.modulus[:1] in (b"", b"\x00"):
            raise ValueError("modulus is empty or has leading zeros")
        try:
            check_roster(self.roster)
            self.parameters()
        except (ProtocolError, AccumulatorError) as error:
            raise ValueError(str(error)) from error

    def parameters(self) -> Parameters:
        """The chain's accumulator parameters."""
        return Parameters(Modulus(int.from_bytes(self.modulus, "big"), self.origin), self.chain)

    def configuration_blocks(self) -> tuple[bytes, ...]:
        """The configuration blocks' protobuf bytes."""
        return tuple(from_base64(block) for block in self.config_blocks)


@dataclass(frozen=True)
class TrustRoot:
    """A verifier's trust root."""

    schema: Annotated[str, Choices((TRUST_SCHEMA,))]
    main: ChainId
    """Which of the chains is the main chain."""
    chains: tuple[ChainTrust, ...]
    """Sorted by chain."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_ascending((entry.chain for entry in self.chains), "chains")
        if all(entry.chain != self.main for entry in self.chains):
            raise ValueError("the main chain is not among the chains")

    def find(self, chain: str) -> ChainTrust | None:
        """What is trusted of a chain; None for one that the root does not name."""
        return next((entry for entry in self.chains if entry.chain == chain), None)


def serialise_trust(trust: TrustRoot) -> bytes:
    """``trust.json``: sorted keys, indented for people, one newline at the end."""
    return (json.dumps(to_json(trust), indent=2, sort_keys=True) + "\n").encode()


def parse_trust(raw: bytes) -> TrustRoot:
    """Read ``trust.json``.

    Raises:
        MalformedJson: not JSON, a key twice, a float.
        SchemaMismatch: not a trust root of this version, with the field at fault.
    """
    return from_json(TrustRoot, parse_json(raw))
