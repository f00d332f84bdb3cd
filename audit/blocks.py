"""What makes a block believed: its data, its orderers, its endorsers, under the configuration in force.

The trust root's configuration blocks come first, later ones with the evidence, each verified under the one
before. Which of them is in force at a block, the block says in what its orderers sign, and must be the newest
one known: keys that were retired since sign nothing that is believed.

Validation codes are not looked at: each peer writes its own and nobody signs them. That an envelope stands in
a signed block and carries enough endorsements is evidence of its own, whoever judged it afterwards.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Final, TypeVar

from fabric_protos.common import common_pb2
from google.protobuf.message import DecodeError, Message

from accumulator import Parameters
from audit.errors import Check, Invalid, Untrusted, Unverifiable, failing
from identity.errors import IdentityError, MalformedIdentity
from protocol.blocks import check_linkage, header_hash, parse_block, verify_block_signature
from protocol.bundle import BlockEvidence
from protocol.configuration import Configuration, EndorsementPolicy
from protocol.constraints import from_base64
from protocol.elements import CHAINCODE
from protocol.errors import ProtocolError, UnknownConfiguration
from protocol.history import ConfigurationHistory
from protocol.transactions import Transaction, read_envelope, verify_creator, verify_endorsements
from protocol.trust import ChainTrust, TrustRoot

__all__ = ["TrustedChain", "TrustedChains", "check_block", "check_signed", "check_transaction"]

M = TypeVar("M", bound=Message)


class TrustedChain:
    """A chain as the trust root has it, and the later configurations that evidence showed.

    Args:
        trust: the trust root's part.
    """

    def __init__(self, trust: ChainTrust) -> None:
        self.trust: Final = trust

    @cached_property
    def parameters(self) -> Parameters:
        """The chain's accumulator parameters."""
        return self.trust.parameters()

    @cached_property
    def history(self) -> ConfigurationHistory:
        """The configurations known so far, oldest first.

        Raises:
            Invalid: the trust root contradicts itself (check ``trust``).
        """
        where = f"trust root, {self.trust.chain}"
        with failing(Check.TRUST, ProtocolError, IdentityError, ValueError, where=where):
            history = _history(self.trust.config_blocks).copy()
        genesis = history.genesis
        if genesis.header_hash != self.trust.genesis_hash:
            raise Invalid(Check.TRUST, "the configuration block has another hash than genesis", where)
        if genesis.chain != self.trust.chain:
            raise Invalid(Check.TRUST, f"the configuration is that of {genesis.chain!r}", where)
        if self.trust.policy > len(history.newest.organisations):
            raise Invalid(Check.TRUST, "the policy asks for more organisations than there are", where)
        return history

    def follow(self, evidence: BlockEvidence) -> Configuration:
        """Take a configuration block: a known one again, or the one after the newest known.

        Raises:
            Conflict, Invalid: check ``configuration``, or as ``check_block``.
            Untrusted: signed by somebody whom the configuration before does not name as orderer.
        """
        where = f"{evidence.chain} block {evidence.number}"
        block = evidence.block()
        known = self.history.find(evidence.number)
        if known is not None:
            if known.header_hash != header_hash(block.header):
                raise Invalid(Check.CONFIGURATION, "is another configuration than the one known", where)
            # It is the known block; that its evidence has its one form is checked all the same.
            before = self.history.before(known)
        elif evidence.number <= self.history.newest.block:
            raise Invalid(
                Check.CONFIGURATION, f"lies before the known configuration {self.history.newest.block}", where
            )
        else:
            before = self.history.newest
        check_signed(evidence, block, before, where)
        with failing(Check.CONFIGURATION, ProtocolError, IdentityError, ValueError, where=where):
            return known or self.history.follow(block)

    def in_force(self, block: common_pb2.Block, where: str) -> Configuration:
        """The configuration that a block is checked under.

        Raises:
            Unverifiable: it names one that nothing here shows.
            Invalid: it names none, or an older one than is in force (check ``configuration``).
        """
        if not block.header.number:
            raise Unverifiable(Check.BLOCK_SIGNATURE, "block 0 is signed by nobody", where)
        history = self.history
        with failing(Check.CONFIGURATION, ProtocolError, where=where):
            try:
                return history.in_force(block)
            except UnknownConfiguration as error:
                raise Unverifiable(Check.CONFIGURATION, f"{error}, which is not shown", where) from error

    def policy_under(self, configuration: Configuration) -> EndorsementPolicy:
        """The stricter of what the trust root and what a configuration ask for."""
        configured = configuration.endorsement
        required = max(configured.required, self.trust.policy)
        with failing(Check.TRUST, ValueError, where=f"trust root, {self.trust.chain}"):
            return EndorsementPolicy(required, configured.organisations, peers_only=configured.peers_only)


@lru_cache(maxsize=64)
def _history(config_blocks: tuple[str, ...]) -> ConfigurationHistory:
    """The history in blocks' base64 text; kept, since many bundles come under one trust root. Copy it."""
    genesis, *later = (parse_block(from_base64(block)) for block in config_blocks)
    history = ConfigurationHistory(genesis)
    for block in later:
        history.follow(block)
    return history


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


def check_block(evidence: BlockEvidence, chain: TrustedChain) -> tuple[common_pb2.Block, Configuration]:
    """See that a chain's orderers signed exactly this block, in its one encoding.

    Returns:
        The block, and the configuration in force at it.

    Raises:
        Invalid: check ``holding-block`` for what the header does not bind, ``block-signature`` for the
            signatures, ``configuration`` for a configuration that is not in force.
        Unverifiable: it names a configuration that is not known.
        Untrusted: signed by somebody whom the configuration does not name as orderer.
    """
    where = f"{evidence.chain} block {evidence.number}"
    block = evidence.block()
    _signatures(block, where)
    configuration = chain.in_force(block, where)
    check_signed(evidence, block, configuration, where)
    if evidence.number == 1 and evidence.previous_hash != chain.trust.genesis_hash:
        raise Invalid(Check.HOLDING_BLOCK, "block 1 does not follow the trusted genesis block", where)
    return block, configuration


def check_signed(
    evidence: BlockEvidence, block: common_pb2.Block, configuration: Configuration, where: str
) -> None:
    """See that the header binds the envelopes and that just a quorum of a configuration's orderers signed it.

    Raises:
        Invalid, Untrusted: as ``check_block``.
    """
    # 1. The header commits to the envelopes. The hash runs over their concatenation, which does not tell
    #    [a, b] from [a + b]; that each begins with content and signature, once, does.
    with failing(Check.HOLDING_BLOCK, ProtocolError, where=where):
        check_linkage(block, evidence.previous_hash)
        envelopes = [read_envelope(bytes(raw)) for raw in block.data.data]
    if not all(envelope.payload and envelope.signature for envelope in envelopes):
        raise Invalid(Check.HOLDING_BLOCK, "an envelope lacks its content or its signature", where)
    # 2. Exactly a quorum of orderers signed the header, and nothing else stands beside their signatures.
    metadata = _signatures(block, where)
    if len(metadata.signatures) != configuration.orderer_quorum:
        raise Invalid(
            Check.BLOCK_SIGNATURE,
            f"{len(metadata.signatures)} signatures where exactly {configuration.orderer_quorum} are wanted",
            where,
        )
    _check_orderers(metadata, configuration, where)
    with failing(Check.BLOCK_SIGNATURE, ProtocolError, IdentityError, where=where):
        verify_block_signature(block, configuration)


def check_transaction(
    raw: bytes, chain: TrustedChain, configuration: Configuration, where: str
) -> Transaction:
    """See that a member asked for this transaction and that enough distinct organisations endorsed it.

    Args:
        raw: the envelope.
        chain: its chain.
        configuration: the one in force at its block.
        where: for messages.

    Raises:
        Invalid: check ``endorsement``.
    """
    with failing(Check.ENDORSEMENT, ProtocolError, IdentityError, where=where):
        transaction = Transaction.from_envelope(raw)
        verify_creator(transaction, configuration)
        verify_endorsements(transaction, configuration, chain.policy_under(configuration))
    if transaction.chaincode != CHAINCODE:
        raise Invalid(Check.ENDORSEMENT, f"chaincode {transaction.chaincode!r} holds no contracts", where)
    if len(transaction.arguments) != 2 or transaction.status != 200:
        raise Invalid(Check.ENDORSEMENT, "the transaction is no answered contract call", where)
    return transaction


def _signatures(block: common_pb2.Block, where: str) -> common_pb2.Metadata:
    raw = block.metadata.metadata[0]
    return _canonical(common_pb2.Metadata, raw, Check.BLOCK_SIGNATURE, "signatures' metadata", where)


def _check_orderers(metadata: common_pb2.Metadata, configuration: Configuration, where: str) -> None:
    """Name a stranger's signature as such; whether a known orderer's holds is checked afterwards."""
    for entry in metadata.signatures:
        if configuration.consenters:  # named by number, their keys are in the configuration
            with failing(Check.BLOCK_SIGNATURE, DecodeError, where=where):
                number = common_pb2.IdentifierHeader.FromString(entry.identifier_header).identifier
            if number not in configuration.consenters:
                raise Untrusted(Check.BLOCK_SIGNATURE, f"no consenter has the id {number}", where)
            continue
        with failing(Check.BLOCK_SIGNATURE, DecodeError, where=where):
            creator = common_pb2.SignatureHeader.FromString(entry.signature_header).creator
        try:
            configuration.msps.validate(creator)
        except MalformedIdentity as error:  # names nobody, not a stranger
            raise Invalid(Check.BLOCK_SIGNATURE, f"the signer is no identity: {error}", where) from error
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
