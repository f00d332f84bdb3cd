"""Comparing what chains say about each other: one chain, one number, one statement.

Main's statements (Type-III) are accepted on every edge, an edge's (Type-II) on main. Whoever rewrites a
chain, even with all of that chain's own keys, leaves the old statements standing on the others; two
statements with one chain and number are evidence against everybody who signed both. What this cannot
see: main and the quorum of the only edge asked, colluding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from audit.errors import Check, Conflict, Invalid, Untrusted, Unverifiable, failing
from audit.state import contradicts_order
from protocol.anchors import AnchorStatement, Roster, SignedStatement
from protocol.errors import ProtocolError
from protocol.rosters import verify_signed_statement

__all__ = ["AnchorsReport", "Sighting", "check_signatures", "compare"]


@dataclass(frozen=True)
class Sighting:
    """A statement and the chain on which it stands.

    Attributes:
        holder: the chain that accepted it, or the statement's own chain.
        signed: the statement; below the quorum only where the chain itself was asked.
    """

    holder: str
    signed: SignedStatement

    @property
    def key(self) -> tuple[str, int]:
        """What only one statement may exist for."""
        return self.signed.statement.chain, self.signed.statement.number


@dataclass(frozen=True)
class AnchorsReport:
    """What agreed.

    Attributes:
        statements: distinct statements compared.
        sightings: places at which they were seen.
        heads: by chain, the newest number that each holder shows.
    """

    statements: int
    sightings: int
    heads: dict[str, dict[str, int]]


def compare(sightings: Sequence[Sighting], rosters: Mapping[str, Roster]) -> AnchorsReport:
    """Compare every sighting with every other of the same chain and number.

    Raises:
        Unverifiable: nothing to compare, or a chain that the trust root does not name.
        Untrusted: a signature by a key that is not in the roster.
        Conflict: differing statements, with all that differ as evidence.
        Invalid: a signature that does not hold; statements that cannot lie on one history; a chain that shows
            fewer anchors than another chain holds of it (check ``rollback``).
    """
    if not sightings:
        raise Unverifiable(Check.PENDING, "no chain holds an anchor yet")
    # 1. Every accepted statement carries its chain's quorum (design: signed by two organisations at least).
    for one in sightings:
        _check_sighting(one, rosters)
    # 2. One chain, one number, one statement.
    distinct = _distinct(sightings)
    # 3. A main statement lists the edges' heads: those are statements about the edges too.
    _check_latest(distinct)
    # 4. Consecutive statements continue one another.
    _check_order(distinct)
    # 5. No chain is behind what others hold of it.
    heads = _heads(sightings)
    _check_behind(heads)
    return AnchorsReport(len(distinct), len(sightings), heads)


def check_signatures(signed: SignedStatement, roster: Roster, where: str) -> None:
    """The roster's quorum signed the statement: exactly the threshold, distinct, sorted, all valid.

    Raises:
        Untrusted: an organisation or key that the roster does not name.
        Invalid: check ``anchor-signature``.
    """
    for signature in signed.signatures:
        if signature.msp_id not in roster.keys:
            raise Untrusted(
                Check.ANCHOR_SIGNATURE, f"{signature.msp_id[:80]!r} is not on the trust root's roster", where
            )
    with failing(Check.ANCHOR_SIGNATURE, ProtocolError, where=where):
        verify_signed_statement(roster, signed)


def _check_sighting(one: Sighting, rosters: Mapping[str, Roster]) -> None:
    chain, number = one.key
    where = f"{chain} anchor {number} on {one.holder}"
    roster = rosters.get(chain)
    if roster is None:
        raise Unverifiable(Check.TRUST, "the trust root does not name this chain", where)
    if one.holder == chain and len(one.signed.signatures) < roster.threshold:
        return  # recomputed from the chain's own blocks, or a cut that is still being signed
    check_signatures(one.signed, roster, where)


def _distinct(sightings: Sequence[Sighting]) -> dict[tuple[str, int], SignedStatement]:
    grouped: dict[tuple[str, int], dict[bytes, list[Sighting]]] = defaultdict(lambda: defaultdict(list))
    for one in sightings:
        grouped[one.key][one.signed.statement.digest()].append(one)
    conflicts = {key: versions for key, versions in sorted(grouped.items()) if len(versions) > 1}
    if conflicts:
        (_, first), more = next(iter(conflicts.items())), len(conflicts) - 1
        held = "; ".join(
            f"{digest.hex()[:16]}… on {', '.join(sorted({one.holder for one in group}))}"
            for digest, group in sorted(first.items())
        )
        # Prefer the signed copy of each version: an unsigned one (recomputed from blocks) accuses nobody.
        evidence = tuple(
            max(group, key=lambda one: len(one.signed.signatures)).signed
            for versions in conflicts.values()
            for _, group in sorted(versions.items())
        )
        why = f"differing statements: {held}" + (f"; and {more} more such anchors" if more else "")
        where = ", ".join(f"{chain} anchor {number}" for chain, number in conflicts)
        raise Conflict(Check.CONFLICT, why, evidence, where)
    return {key: next(iter(versions.values()))[0].signed for key, versions in grouped.items()}


def _check_latest(distinct: Mapping[tuple[str, int], SignedStatement]) -> None:
    for signed in distinct.values():
        for latest in signed.statement.latest:
            source = distinct.get((latest.chain, latest.number))
            if source is not None and source.statement.digest() != latest.statement:
                raise Conflict(
                    Check.CONFLICT,
                    f"lists another statement of {latest.chain} anchor {latest.number} than was found",
                    (signed, source),
                    f"{signed.statement.chain} anchor {signed.statement.number}",
                )


def _check_order(distinct: Mapping[tuple[str, int], SignedStatement]) -> None:
    by_chain: dict[str, list[AnchorStatement]] = defaultdict(list)
    for _, signed in sorted(distinct.items(), key=lambda item: item[0]):
        by_chain[signed.statement.chain].append(signed.statement)
    for chain, statements in by_chain.items():
        for earlier, later in pairwise(statements):
            where = f"{chain} anchor {later.number}"
            if contradicts_order(earlier, later):
                raise Invalid(Check.ANCHOR_LINKAGE, f"does not continue anchor {earlier.number}", where)
            if later.number == earlier.number + 1 and later.value_before != earlier.value_after:
                raise Invalid(
                    Check.ANCHOR_LINKAGE,
                    f"starts from another value than anchor {earlier.number} ends",
                    where,
                )


def _heads(sightings: Sequence[Sighting]) -> dict[str, dict[str, int]]:
    heads: dict[str, dict[str, int]] = defaultdict(dict)
    for one in sightings:
        chain, number = one.key
        heads[chain][one.holder] = max(number, heads[chain].get(one.holder, 0))
    return {chain: dict(sorted(holders.items())) for chain, holders in sorted(heads.items())}


def _check_behind(heads: Mapping[str, Mapping[str, int]]) -> None:
    for chain, holders in heads.items():
        for holder, number in holders.items():
            own = holders.get(chain, 0)
            if holder != chain and number > own:
                raise Invalid(
                    Check.ROLLBACK,
                    f"the chain shows {own} anchors, but {holder} holds anchor {number}",
                    chain,
                )
