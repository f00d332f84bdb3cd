"""What an auditor remembers: the statements seen so far, so that no chain can be told twice in two ways.

The file only grows. A statement that shares chain and number with a remembered one but not its digest is a
conflict; one whose order contradicts a remembered one is a rollback. An *older* statement than the newest is
no rollback: proofs are made against the first anchor that covers an element, for ever.

Configuration blocks are remembered too: with them the trust root grows, and keys that an update retired are
never believed again, whatever a later bundle leaves out.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from audit.errors import Check, Conflict, Invalid, Unusable
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.blocks import header_hash, parse_block
from protocol.bundle import BlockEvidence
from protocol.constraints import check_ascending, to_base64
from protocol.encodings import decode, encode
from protocol.errors import EncodingError
from protocol.trust import ChainTrust, TrustRoot

__all__ = [
    "AuditState",
    "KnownChain",
    "Origin",
    "Seen",
    "contradicts_order",
    "load_state",
    "remember",
    "save_state",
]

SCHEMA = "edgeproof/audit-state/v1"


@dataclass(frozen=True)
class Seen:
    """A statement by number, without its bulk."""

    number: int
    statement: bytes
    """Digest."""


@dataclass(frozen=True)
class KnownChain:
    """One chain as the auditor has seen it."""

    chain: str
    newest: SignedStatement
    """Kept whole, with its signatures: it is the evidence should the chain be told differently. Without any
    where it was computed from a copy of the chain's blocks."""
    seen: tuple[Seen, ...]
    """Sorted by number, the newest included."""

    def __post_init__(self) -> None:
        numbers = [one.number for one in self.seen]
        if not numbers or numbers != sorted(set(numbers)):
            raise ValueError("the seen statements are not sorted, not distinct, or none")
        newest = self.newest.statement
        if self.chain != newest.chain or self.seen[-1] != Seen(newest.number, newest.digest()):
            raise ValueError("the newest statement is not the last one seen")


@dataclass(frozen=True)
class Origin:
    """Which chain of that name it is: statements bear a name alone, which another deployment's may share."""

    chain: str
    genesis_hash: bytes


@dataclass(frozen=True)
class AuditState:
    """All that is remembered; chains sorted by name."""

    schema: str = SCHEMA
    origins: tuple[Origin, ...] = ()
    """The chains of the trust roots that it was used under, sorted by name."""
    chains: tuple[KnownChain, ...] = ()
    configurations: tuple[BlockEvidence, ...] = ()
    """Configuration blocks after genesis that were verified, sorted by chain and number."""

    def __post_init__(self) -> None:
        check_ascending((block.key for block in self.configurations), "configurations")
        names = [known.chain for known in self.chains]
        if self.schema != SCHEMA:
            raise ValueError(f"the state's schema is not {SCHEMA}")
        if names != sorted(set(names)):
            raise ValueError("the chains are not sorted or not distinct")
        check_ascending((one.chain for one in self.origins), "origins")
        if not set(names) <= {one.chain for one in self.origins}:
            raise ValueError("a chain without its origin")

    def under(self, trust: TrustRoot) -> AuditState:
        """The state, bound to the chains of a trust root.

        Raises:
            Unusable: it remembers chains of the same names that began otherwise: another deployment's.
        """
        known = {one.chain: one for one in self.origins}
        for chain in trust.chains:
            origin = Origin(chain.chain, chain.genesis_hash)
            if known.setdefault(chain.chain, origin) != origin:
                why = "remembers another deployment's chain of that name: keep a file for each"
                raise Unusable(Check.STATE, f"the state {why}", chain.chain)
        return replace(self, origins=tuple(known[name] for name in sorted(known)))

    def extend(self, trust: TrustRoot) -> TrustRoot:
        """The trust root with the configurations that were seen since.

        Raises:
            Unusable: the state is another deployment's.
            Invalid: another configuration was seen than the trust root knows (check ``configuration``).
        """
        self.under(trust)
        later: dict[str, list[BlockEvidence]] = defaultdict(list)
        for block in self.configurations:
            later[block.chain].append(block)
        chains = (_extended(one, later[one.chain]) if one.chain in later else one for one in trust.chains)
        return replace(trust, chains=tuple(chains))

    def admit(
        self, statements: Iterable[SignedStatement], configurations: Iterable[BlockEvidence] = ()
    ) -> AuditState:
        """The state that also remembers ``statements`` and ``configurations`` (all verified before).

        Raises:
            Conflict: another statement with a remembered chain and number.
            Invalid: a statement whose place contradicts the newest one (check ``rollback``).
        """
        known = {one.chain: one for one in self.chains}
        further: dict[str, list[SignedStatement]] = defaultdict(list)
        for signed in sorted(statements, key=lambda one: one.statement.number):
            further[signed.statement.chain].append(signed)
        for chain, told in further.items():
            known[chain] = _admit_all(known.get(chain), told)
        blocks = {block.key: block for block in (*configurations, *self.configurations)}
        return replace(
            self,
            chains=tuple(known[chain] for chain in sorted(known)),
            configurations=tuple(blocks[key] for key in sorted(blocks)),
        )

    def check_head(self, chain: str, number: int) -> None:
        """Refuse a live chain that offers fewer anchors than were seen.

        Raises:
            Invalid: check ``rollback``.
        """
        for known in self.chains:
            newest = known.newest.statement
            if known.chain == chain and number < newest.number:
                raise Invalid(
                    Check.ROLLBACK,
                    f"the chain shows {number} anchors, but anchor {newest.number} was seen before",
                    chain,
                )


def contradicts_order(earlier: AnchorStatement, later: AnchorStatement) -> bool:
    """Whether two statements of one chain, ``earlier.number < later.number``, cannot lie on one history.

    A cut is itself a transaction of its chain, so every statement covers more blocks and elements than the
    one before it.
    """
    if later.number == earlier.number + 1 and later.first != earlier.last + 1:
        return True
    return not (earlier.last < later.first <= later.last and earlier.height < later.height)


def load_state(path: Path) -> AuditState:
    """The remembered state; empty when there is no file yet.

    Raises:
        Unusable: the file cannot be read or is damaged.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return AuditState()
    except OSError as error:
        raise Unusable(Check.STATE, f"cannot be read: {error.strerror}", str(path)) from error
    try:
        return decode(AuditState, raw)
    except EncodingError as error:
        raise Unusable(Check.STATE, f"damaged: {error}", str(path)) from error


def save_state(path: Path, state: AuditState) -> None:
    """Write the state durably and at once, readable by its owner alone (0600).

    Raises:
        Unusable: the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # made with 0600
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(state))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unusable(Check.STATE, f"cannot be written: {error.strerror}", str(path)) from error


def remember(
    path: Path,
    trust: TrustRoot,
    statements: Iterable[SignedStatement],
    configurations: Iterable[BlockEvidence] = (),
) -> AuditState:
    """Admit ``statements`` and ``configurations`` to the file; two audits at once do not lose each other's.

    Args:
        path: the file.
        trust: what they were verified under.
        statements: of its chains, verified.
        configurations: as the statements.

    Raises:
        Unusable: the file cannot be read or written, or is another deployment's.
        Conflict: see ``AuditState.admit``.
        Invalid: see ``AuditState.admit``.
    """
    with _locked(path):
        before = load_state(path)
        after = before.under(trust).admit(statements, configurations)
        if after != before:
            save_state(path, after)
        return after


def _extended(trust: ChainTrust, seen: Sequence[BlockEvidence]) -> ChainTrust:
    known = {block.header.number: block for block in map(parse_block, trust.configuration_blocks())}
    more = []
    for evidence in seen:
        block = evidence.block()
        own = known.get(evidence.number)
        if own is None and evidence.number > max(known):
            more.append(to_base64(block.SerializeToString(deterministic=True)))
        elif own is None or header_hash(own.header) != header_hash(block.header):
            where = f"{trust.chain} block {evidence.number}"
            raise Invalid(Check.CONFIGURATION, "another configuration was seen before", where)
    return replace(trust, config_blocks=(*trust.config_blocks, *more))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unusable(Check.STATE, f"cannot be locked: {error.strerror}", str(path)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _admit_all(known: KnownChain | None, statements: Sequence[SignedStatement]) -> KnownChain:
    """What is known of one chain with further statements, which are sorted by number."""
    seen = {} if known is None else {one.number: one.statement for one in known.seen}
    newest = statements[0] if known is None else known.newest
    for signed in statements:
        statement, top = signed.statement, newest.statement
        number, digest = statement.number, statement.digest()
        where = f"{statement.chain} anchor {number}"
        before = seen.setdefault(number, digest)
        if before != digest:
            evidence = (newest, signed) if top.number == number else (signed,)
            raise Conflict(
                Check.CONFLICT,
                f"the statement differs from the one seen before (digest {before.hex()})",
                evidence,
                where,
            )
        if number > top.number and contradicts_order(top, statement):
            raise Invalid(Check.ROLLBACK, f"does not continue anchor {top.number} seen before", where)
        if number < top.number and contradicts_order(statement, top):
            raise Invalid(Check.ROLLBACK, f"contradicts anchor {top.number} seen before", where)
        if number > top.number or (number == top.number and not newest.signatures):
            newest = signed  # with signatures rather than without: they are the evidence
    return KnownChain(
        newest.statement.chain, newest, tuple(Seen(number, seen[number]) for number in sorted(seen))
    )
