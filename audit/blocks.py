"""What makes a block believed: its data, its orderers, its endorsers, under a configuration that is trusted.

Validation codes are not looked at: each peer writes its own and nobody signs them. That an envelope stands in
a signed block and carries enough endorsements is evidence of its own, whoever judged it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, TypeVar

from fabric_protos.common import common_pb2
from google.protobuf.message import DecodeError, Message

from accumulator import Parameters
from audit.errors import Check, Invalid, Untrusted, Unverifiable, failing
from identity.errors import IdentityError
from protocol.blocks import check_linkage, parse_block, verify_block_signature
from protocol.bundle import BlockEvidence
from protocol.configuration import Configuration, EndorsementPolicy
from protocol.constraints import from_base64
from protocol.elements import CHAINCODE
from protocol.errors import ProtocolError
from protocol.transactions import Transaction, verify_creator, verify_endorsements
from protocol.trust import ChainTrust, TrustRoot

__all__ = ["TrustedChain", "TrustedChains", "check_block", "check_transaction"]

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class TrustedChain:
    """A chain as the trust root has it."""

    trust: ChainTrust

    @cached_property
    def parameters(self) -> Parameters:
        """The chain's accumulator parameters."""
        return self.trust.parameters()

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration that its blocks are checked under.

        Raises:
            Invalid: the trust root contradicts itself (check ``trust``).
        """
        where = f"trust root, {self.trust.chain}"
        with failing(Check.TRUST, ProtocolError, IdentityError, ValueError, where=where):
            configuration = _configuration(self.trust.config_block)
        if not configuration.block and configuration.header_hash != self.trust.genesis_hash:
            raise Invalid(Check.TRUST, "the configuration block has another hash than genesis", where)
        if configuration.chain != self.trust.chain:
            raise Invalid(Check.TRUST, f"the configuration is that of {configuration.chain!r}", where)
        if self.trust.policy > len(configuration.organisations):
            raise Invalid(Check.TRUST, "the policy asks for more organisations than there are", where)
        return configuration

    @property
    def endorsement(self) -> EndorsementPolicy:
        """The stricter of what the trust root and what the configuration ask for."""
        configured = self.configuration.endorsement
        required = max(configured.required, self.trust.policy)
        with failing(Check.TRUST, ValueError, where=f"trust root, {self.trust.chain}"):
            return EndorsementPolicy(required, configured.organisations, peers_only=configured.peers_only)


@lru_cache(maxsize=64)
def _configuration(config_block: str) -> Configuration:
    """The configuration in a block's base64 text; kept, since many bundles come under one trust root."""
    block = parse_block(from_base64(config_block))
    if not block.header.number:
        check_linkage(block, b"")
    return Configuration.from_block(block)


class TrustedChains:
    """The chains of a trust root, each read once."""

    def __init__(self, trust: TrustRoot) -> None:
        self.main: Final = trust.main
        self._chains: Final = {one.chain: TrustedChain(one) for one in trust.chains}

    @property
    def edges(self) -> list[str]:
        """Every chain but main, sorted."""
        return sorted(chain for chain in self._chains if chain != self.main)

    def find(self, chain: str) -> TrustedChain:
        """What is trusted of a chain.

        Raises:
            Unverifiable: the trust root does not name it.
        """
        found = self._chains.get(chain)
        if found is None:
            raise Unverifiable(Check.TRUST, "the trust root does not name this chain", chain)
        return found


def check_block(evidence: BlockEvidence, chain: TrustedChain) -> common_pb2.Block:
    """See that a chain's orderers signed exactly this block, in its one encoding.

    Returns:
        The block.

    Raises:
        Invalid: check ``holding-block`` for what the header does not bind, ``block-signature`` for the rest.
        Untrusted: signed by somebody whom the configuration does not name as orderer.
    """
    where = f"{evidence.chain} block {evidence.number}"
    block = evidence.block()
    configuration = chain.configuration
    if evidence.number <= configuration.block:
        raise Unverifiable(
            Check.BLOCK_SIGNATURE, f"older than the trusted configuration {configuration.block}", where
        )
    # 1. The header commits to the envelopes. The hash runs over their concatenation, which does not tell
    #    [a, b] from [a + b]; that each has its one encoding, with content and signature, does.
    with failing(Check.HOLDING_BLOCK, ProtocolError, where=where):
        check_linkage(block, evidence.previous_hash)
    for envelope in block.data.data:
        _check_envelope(bytes(envelope), where)
    if evidence.number == 1 and evidence.previous_hash != chain.trust.genesis_hash:
        raise Invalid(Check.HOLDING_BLOCK, "block 1 does not follow the trusted genesis block", where)
    # 2. Exactly a quorum of orderers signed the header, and nothing else stands beside their signatures.
    metadata = _canonical(
        common_pb2.Metadata, block.metadata.metadata[0], Check.BLOCK_SIGNATURE, "signatures' metadata", where
    )
    if len(metadata.signatures) != configuration.orderer_quorum:
        raise Invalid(
            Check.BLOCK_SIGNATURE,
            f"{len(metadata.signatures)} signatures where exactly {configuration.orderer_quorum} are wanted",
            where,
        )
    _check_orderers(metadata, configuration, where)
    with failing(Check.BLOCK_SIGNATURE, ProtocolError, IdentityError, where=where):
        verify_block_signature(block, configuration)
    return block


def check_transaction(raw: bytes, chain: TrustedChain, where: str) -> Transaction:
    """See that a member asked for this transaction and that enough distinct organisations endorsed it.

    Raises:
        Invalid: check ``endorsement``.
    """
    with failing(Check.ENDORSEMENT, ProtocolError, IdentityError, where=where):
        transaction = Transaction.from_envelope(raw)
        verify_creator(transaction, chain.configuration)
        verify_endorsements(transaction, chain.configuration, chain.endorsement)
    if transaction.chaincode != CHAINCODE:
        raise Invalid(Check.ENDORSEMENT, f"chaincode {transaction.chaincode!r} holds no contracts", where)
    if len(transaction.arguments) != 2 or transaction.status != 200:
        raise Invalid(Check.ENDORSEMENT, "the transaction is no answered contract call", where)
    return transaction


def _check_envelope(raw: bytes, where: str) -> None:
    envelope = _canonical(common_pb2.Envelope, raw, Check.HOLDING_BLOCK, "an envelope", where)
    if not envelope.payload or not envelope.signature:
        raise Invalid(Check.HOLDING_BLOCK, "an envelope lacks its content or its signature", where)


def _check_orderers(metadata: common_pb2.Metadata, configuration: Configuration, where: str) -> None:
    """Name a stranger's signature as such; whether a known orderer's holds is checked afterwards."""
    if configuration.consenters:
        return  # consenters are named by number, their keys are in the configuration
    for entry in metadata.signatures:
        with failing(Check.BLOCK_SIGNATURE, DecodeError, where=where):
            creator = common_pb2.SignatureHeader.FromString(entry.signature_header).creator
        try:
            configuration.msps.validate(creator)
        except IdentityError as error:
            raise Untrusted(Check.BLOCK_SIGNATURE, f"the signer is not known: {error}", where) from error


def _canonical(kind: type[M], raw: bytes, check: Check, what: str, where: str) -> M:
    """Read a message that has its one encoding and no field that this version does not know."""
    message = kind()
    with failing(check, DecodeError, where=where):
        message.ParseFromString(raw)
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != raw:
        raise Invalid(check, f"{what} is not in its one encoding", where)
    return message
