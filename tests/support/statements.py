"""Small signed statements for tests that need no chain behind them."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accumulator import RSA_2048
from identity.signatures import low_s
from protocol.anchors import AnchorSignature, AnchorStatement, Roster, SignedStatement
from protocol.trust import ChainTrust, Checkpoint


class Signers:
    """The anchor signers of one chain's organisations."""

    def __init__(self, chain: str, organisations: tuple[str, ...] = ("Org1MSP", "Org2MSP")) -> None:
        self.chain = chain
        self.keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in organisations}

    @property
    def roster(self) -> Roster:
        """All organisations, threshold two."""
        spki = {
            name: key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            for name, key in self.keys.items()
        }
        return Roster(self.chain, 1, 2, spki)

    def sign(self, statement: AnchorStatement) -> SignedStatement:
        """The statement with the signatures of the first two organisations."""
        message = statement.signing_bytes()
        return SignedStatement(
            statement,
            tuple(
                AnchorSignature(name, low_s(key.sign(message, ec.ECDSA(hashes.SHA256()))))
                for name, key in sorted(self.keys.items())[:2]
            ),
        )


def make_statement(chain: str, number: int, *, width: int = 10, seed: bytes = b"honest") -> AnchorStatement:
    """Statement ``number``, ``width`` elements and blocks an anchor; ``seed`` tells histories apart."""
    value = (seed + b"/%d" % number).rjust(256, b"\x01")
    before = (seed + b"/%d" % (number - 1)).rjust(256, b"\x01")
    return AnchorStatement(
        chain=chain,
        number=number,
        first=(number - 1) * width + 1,
        last=number * width,
        news=1,
        height=number * width,
        header_hash=seed.rjust(32, b"\x02"),
        parameters=b"\x03" * 32,
        value_before=before,
        value_after=value,
        tree_root=seed.rjust(32, b"\x04"),
        latest=(),
    )


def altered(statement: AnchorStatement, **fields: object) -> AnchorStatement:
    """A copy with some fields replaced."""
    return replace(statement, **fields)


def make_chain_trust(chain: str, genesis_hash: bytes = bytes(32)) -> ChainTrust:
    """What might be trusted of a chain; its configuration block is none."""
    return ChainTrust(
        chain=chain,
        genesis_hash=genesis_hash,
        config_blocks=("AAEC",),
        roster=Signers(chain).roster,
        modulus=RSA_2048.to_bytes(256, "big"),
        origin="rsa-2048-challenge",
        policy=2,
        checkpoint=Checkpoint(0, b""),
    )
