"""A whole chain from a copy of its blocks, block after block, offline.

A copy of a peer's block files, or of an embedded ledger's file, is believed as far as the orderers' and the
endorsers' signatures reach, and as far as what other chains hold of it agrees with what it says itself. The
first block that does not hold is named.

What no signature covers: the validation codes are a peer's own. They are part of every element, so that a
changed one changes the next anchor statement, which other chains hold. After the newest anchor they are the
word of whoever made the copy, but for what is checked here: a valid transaction carries its endorsements, and
its id once only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fabric_protos.common import common_pb2

from audit.anchors import check_signatures
from audit.blocks import TrustedChain, TrustedChains, check_block
from audit.errors import AuditError, Check, Conflict, Invalid, Untrusted, Unverifiable, failing
from chaincode.api import AcceptAnchor
from identity.errors import IdentityError
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.blocks import check_linkage, header_hash
from protocol.bundle import BlockEvidence
from protocol.chainstate import ChainState
from protocol.configuration import Configuration, EndorsementPolicy
from protocol.elements import CHAINCODE, ElementView, views
from protocol.encodings import decode
from protocol.errors import EncodingError, InvalidStatement, ProtocolError
from protocol.transactions import Transaction, verify_creator, verify_endorsements

__all__ = ["ChainFacts", "KnownAnchors", "check_chain", "compare_with"]

KnownAnchors = Mapping[int, tuple[bytes, str]]
"""Of one chain, by number: a statement's digest, and who holds it."""

_VALID: Final = 0
_FOREIGN: Final = 1  # endorsements asked of other chaincodes, whose own policies are not read


@dataclass(frozen=True)
class ChainFacts:
    """What a copy of a chain shows.

    Attributes:
        chain: its id.
        height: count of blocks.
        header_hash: of the newest block.
        transactions: valid transactions, whose endorsements hold.
        configurations: numbers of the configuration blocks, genesis included.
        statements: its anchor statements, computed from its blocks, by number.
        covered: how many of its blocks the newest of these covers.
        accepted: statements of other chains that it accepted, each with the quorum's signatures.
        configuration_blocks: those after genesis, to remember.
    """

    chain: str
    height: int
    header_hash: bytes
    transactions: int
    configurations: tuple[int, ...]
    statements: tuple[AnchorStatement, ...]
    covered: int
    accepted: tuple[SignedStatement, ...]
    configuration_blocks: tuple[BlockEvidence, ...]


def check_chain(
    blocks: Iterable[common_pb2.Block],
    chains: TrustedChains,
    chain: str,
    progress: Callable[[int], None] = lambda number: None,
) -> ChainFacts:
    """Walk a chain from its genesis block.

    Cost: about a millisecond an envelope, most of it checking signatures and finding primes.

    Args:
        blocks: all of them, from block 0, in order.
        chains: the trust root's.
        chain: which chain it is.
        progress: called with each block's number.

    Raises:
        Invalid, Conflict, Untrusted, Unverifiable: the first fault; ``where`` names its block.
    """
    walk = _Walk(chains, chains.find(chain))
    for block in blocks:
        walk.take(block)
        progress(int(block.header.number))
    return walk.facts()


def compare_with(facts: ChainFacts, known: KnownAnchors) -> int:
    """Hold a chain's own statements against what others hold of it; how many were compared.

    Raises:
        Conflict: another statement is held than the blocks give (check ``conflict``).
        Invalid: the copy ends before an anchor that is held (check ``rollback``).
    """
    before = 0
    for statement in facts.statements:
        digest, holder = known.get(statement.number, (None, ""))
        if digest is not None and digest != statement.digest():
            # Later blocks rest on the earlier ones: the first range that differs holds the first change.
            where = f"{facts.chain} blocks {before} to {statement.height - 1}"
            why = f"they give another anchor {statement.number} than {holder} holds (digest {digest.hex()})"
            raise Conflict(Check.CONFLICT, why, (SignedStatement(statement, ()),), where)
        before = statement.height
    newest = max(known, default=0)
    if newest > len(facts.statements):
        why = f"the copy ends with anchor {len(facts.statements)}, {known[newest][1]} holds anchor {newest}"
        raise Invalid(Check.ROLLBACK, why, f"{facts.chain} block {facts.height}")
    return len(known)


class _Walk:
    def __init__(self, chains: TrustedChains, trusted: TrustedChain) -> None:
        self._chains = chains
        self._trusted = trusted
        self._name: Final = trusted.trust.chain
        self._state = ChainState(self._name, trusted.parameters, main=self._name == chains.main)
        self._seen: set[str] = set()
        self._transactions = 0
        self._configurations: list[BlockEvidence] = []
        self._statements: list[AnchorStatement] = []
        self._accepted: list[SignedStatement] = []

    def take(self, block: common_pb2.Block) -> None:
        """Check the next block."""
        number = int(block.header.number)
        where = f"{self._name} block {number}"
        with failing(Check.BLOCK_LINKAGE, ProtocolError, where=where):
            if number != self._state.height:
                raise Invalid(Check.BLOCK_LINKAGE, f"block {self._state.height} is due", where)
            check_linkage(block, self._state.header_hash)
            seen = views(block)
        if number:
            configuration = self._check_orderers(block, seen, where)
            for view in seen:
                self._check_transaction(view, configuration, f"{where} transaction {view.index}")
        elif header_hash(block.header) != self._trusted.trust.genesis_hash:
            raise Untrusted(Check.TRUST, "is not the genesis block that the trust root names", where)
        with failing(Check.ANCHOR_LINKAGE, InvalidStatement, where=where):
            self._statements += self._state.feed(block).statements

    def facts(self) -> ChainFacts:
        """What was shown."""
        if not self._state.height:
            raise Unverifiable(Check.MISSING, "there is no block", self._name)
        known = self._trusted.history.newest
        if known.block >= self._state.height:
            why = f"the copy ends before configuration block {known.block}, which is known"
            raise Invalid(Check.ROLLBACK, why, f"{self._name} block {self._state.height}")
        return ChainFacts(
            chain=self._name,
            height=self._state.height,
            header_hash=self._state.header_hash,
            transactions=self._transactions,
            configurations=(0, *(one.number for one in self._configurations)),
            statements=tuple(self._statements),
            covered=self._statements[-1].height if self._statements else 0,
            accepted=tuple(self._accepted),
            configuration_blocks=tuple(self._configurations),
        )

    def _check_orderers(self, block: common_pb2.Block, seen: list[ElementView], where: str) -> Configuration:
        """Check signatures under the configuration in force; take a configuration block. That in force."""
        with failing(Check.BLOCK_SIGNATURE, ValueError, where=where):
            evidence = BlockEvidence.of(self._name, block)
        known = self._trusted.history.find(evidence.number)
        if any(view.kind == common_pb2.HeaderType.CONFIG for view in seen):
            self._configurations.append(evidence)
            return self._trusted.follow(evidence)
        if known is not None:
            raise Invalid(Check.CONFIGURATION, "is not the configuration block that is known", where)
        try:
            return check_block(evidence, self._trusted)[1]
        except Unverifiable as error:
            # All blocks are here: a configuration that none of them holds does not exist.
            raise Invalid(Check.CONFIGURATION, error.why, where) from error

    def _check_transaction(self, view: ElementView, configuration: Configuration, where: str) -> None:
        if view.code != _VALID or view.kind == common_pb2.HeaderType.CONFIG:
            return
        policy = self._trusted.policy_under(configuration)
        if view.chaincode != CHAINCODE:
            members = policy.organisations
            policy = EndorsementPolicy(_FOREIGN, members, peers_only=policy.peers_only)
        with failing(Check.ENDORSEMENT, ProtocolError, IdentityError, where=where):
            transaction = Transaction.from_envelope(view.envelope)
            verify_creator(transaction, configuration)
            verify_endorsements(transaction, configuration, policy)
        if transaction.identifier in self._seen:
            raise Invalid(Check.ENVELOPE, "its id was valid in an earlier block", where)
        self._seen.add(transaction.identifier)
        self._transactions += 1
        if view.chaincode == CHAINCODE and view.function == AcceptAnchor.FUNCTION:
            self._accept(view, where)

    def _accept(self, view: ElementView, where: str) -> None:
        """A statement of another chain: contracts accept none without its quorum's signatures."""
        with failing(Check.ANCHOR_SIGNATURE, EncodingError, where=where):
            signed = decode(AcceptAnchor, view.argument).signed
        try:
            roster = self._chains.find(signed.statement.chain).trust.roster
        except AuditError:
            return  # of a chain that the trust root does not speak of: nothing is compared with it
        check_signatures(signed, roster, where)
        self._accepted.append(signed)
