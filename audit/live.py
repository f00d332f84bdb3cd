"""Audits over live chains and stores: fetch, then let the pure rules judge.

Nothing that a chain or a store says is believed here; it is gathered into a bundle, or into sightings, and
goes through the same rules as what a stranger handed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from audit.anchors import AnchorsReport, Sighting, compare
from audit.errors import Check, Conflict, Invalid, Untrusted, Unusable, Unverifiable
from audit.ports import AuditedSystem
from chaincode.api import (
    GetAnchor,
    GetCut,
    GetSource,
)
from identity.errors import IdentityError, KeyStoreError
from identity.signatures import verify_ecdsa
from ledger.errors import ContractRefused, CorruptLedger, LedgerError
from ledger.port import Ledger, evaluate_typed
from ledger.proof_errors import ChainDiverged, NotAbsent, NotIndexed, Pending, UnsuitableHolder
from protocol.anchors import AnchorSignature, AnchorStatement, Roster, SignedStatement
from protocol.blocks import header_hash
from protocol.bundle import Bundle
from protocol.encodings import sha256
from protocol.errors import InvalidBlock, ProtocolError
from protocol.trust import TrustRoot
from store.errors import Corrupt, StoreError
from store.port import Store

__all__ = ["audit_anchors", "check_contents", "translated"]


@contextmanager
def translated() -> Iterator[None]:
    """Turn the lower rooms' errors into audit errors.

    Raises:
        Invalid: a chain that contradicts itself or what others hold of it.
        Unverifiable: not there, not yet there, or out of reach.
        Unusable: the deployment's own keys or certificates cannot be read.
    """
    try:
        yield
    except KeyStoreError as error:
        raise Unusable(Check.USAGE, str(error)) from error
    except NotAbsent as error:
        raise Invalid(Check.SUBJECT, f"not absent: {error}") from error
    except Pending as error:
        raise Unverifiable(Check.PENDING, str(error)) from error
    except UnsuitableHolder as error:
        raise Unusable(Check.USAGE, str(error)) from error
    except NotIndexed as error:
        raise Unverifiable(Check.MISSING, str(error)) from error
    except ChainDiverged as error:
        raise Invalid(Check.CONFLICT, str(error)) from error
    except (CorruptLedger, InvalidBlock) as error:
        raise Invalid(Check.LEDGER, str(error)) from error
    except ContractRefused as error:
        check = Check.MISSING if error.code == "not-found" else Check.LEDGER
        raise Unverifiable(check, str(error)) from error
    except (LedgerError, StoreError) as error:
        raise Unverifiable(Check.LEDGER, str(error)) from error
    except ProtocolError as error:
        raise Invalid(Check.LEDGER, str(error)) from error


def check_contents(system: AuditedSystem, bundle: Bundle) -> int:
    """Read the bytes of every record of a bundle from the stores and compare their digests.

    Returns:
        How many were compared.

    Raises:
        Invalid: other bytes lie in the store than the device signed (check ``content``).
        Unverifiable: they are not there.
    """
    count = 0
    for batch in bundle.batches:
        store = system.stores.get(batch.chain)
        if store is None:
            raise Unverifiable(Check.CONTENT, f"no store of {batch.chain} is at hand")
        for shown in batch.leaves:
            where = f"record {shown.leaf.record.hex()}"
            _fetch_content(store, shown.leaf.reading.content_digest, where)
            count += 1
    return count


def audit_anchors(
    system: AuditedSystem, trust: TrustRoot
) -> tuple[AnchorsReport, tuple[SignedStatement, ...]]:
    """Compare what every chain says about itself with what the others accepted.

    Returns:
        The report, and every statement that carries a quorum's signatures (to remember), once each.

    Raises:
        AuditError: see ``audit.anchors.compare``.
        Untrusted: a chain begins with another genesis block than the trust root names (check ``trust``).
    """
    with translated():
        sightings = [one for chain in sorted(system.ledgers) for one in _sightings_on(system, chain)]
    rosters = {one.chain: one.roster for one in trust.chains}
    try:
        report = compare(sightings, rosters)
    except Invalid as error:
        if error.check is Check.ANCHOR_SIGNATURE:
            # Signatures bear a name and no key: its genesis tells another deployment's from forged ones.
            with translated():
                _check_genesis(system, trust)
        raise
    # All of them and not the newest alone: another history may be longer than the one that was seen.
    quorate: dict[tuple[str, int], SignedStatement] = {}
    for one in sightings:
        chain, _ = one.key
        if chain in rosters and len(one.signed.signatures) == rosters[chain].threshold:
            quorate.setdefault(one.key, one.signed)
    for trusted in trust.chains:
        for one in sightings:
            statement = one.signed.statement
            if one.key == (trusted.chain, trusted.checkpoint.number) and (
                statement.digest() != trusted.checkpoint.statement
            ):
                where = f"{trusted.chain} anchor {statement.number}"
                raise Conflict(Check.CHECKPOINT, "differs from the trusted checkpoint", (one.signed,), where)
        held = max(report.heads.get(trusted.chain, {}).values(), default=0)
        if held < trusted.checkpoint.number:
            why = f"{held} anchors, but the trust root knows anchor {trusted.checkpoint.number}"
            raise Invalid(Check.ROLLBACK, why, trusted.chain)
    return report, tuple(quorate[key] for key in sorted(quorate))


# ---------------------------------------------------------------------- anchors


def _check_genesis(system: AuditedSystem, trust: TrustRoot) -> None:
    """The chains are those that the trust root speaks of, and not another deployment's of the same names."""
    for one in trust.chains:
        ledger = system.ledgers.get(one.chain)
        if ledger is not None and header_hash(ledger.block(0).header) != one.genesis_hash:
            raise Untrusted(
                Check.TRUST, "is not the genesis block that the trust root names", f"{one.chain} block 0"
            )


def _sightings_on(system: AuditedSystem, holder: str) -> Iterator[Sighting]:
    """What one chain holds: its own statements, and the ones that it accepted."""
    ledger, index = system.ledgers[holder], system.indexes[holder]
    index.sync()
    roster: Roster = evaluate_typed(ledger, GetSource(holder)).roster
    for computed in index.statements():
        yield Sighting(holder, SignedStatement(computed, ()))
        status = evaluate_typed(ledger, GetCut(computed.number))
        for statement in status.statements:
            signatures = _signatures_of(statement, status.signatures, roster)
            yield Sighting(holder, SignedStatement(statement, signatures[: roster.threshold]))
    for other in sorted(system.ledgers):
        if other != holder:
            yield from _accepted_on(ledger, holder, other)


def _signatures_of(
    statement: AnchorStatement, signatures: Sequence[AnchorSignature], roster: Roster
) -> tuple[AnchorSignature, ...]:
    """Those of a cut's signatures that sign this statement: its signers may have signed different ones."""
    found = []
    for signature in signatures:
        key = roster.keys.get(signature.msp_id)
        try:
            if key is not None:
                verify_ecdsa(key, statement.signing_bytes(), signature.signature)
                found.append(signature)
        except IdentityError:
            continue  # under another statement of the cut
    return tuple(found)


def _accepted_on(ledger: Ledger, holder: str, other: str) -> Iterator[Sighting]:
    try:
        head: SignedStatement = evaluate_typed(ledger, GetAnchor(other, 0))
    except ContractRefused:
        return  # not a source of this chain, or nothing accepted yet
    for number in range(1, head.statement.number):
        yield Sighting(holder, evaluate_typed(ledger, GetAnchor(other, number)))
    yield Sighting(holder, head)


def _fetch_content(store: Store, digest: bytes, where: str) -> None:
    try:
        content = store.get(digest)
    except Corrupt as error:
        raise Invalid(Check.CONTENT, f"the store holds other bytes: {error}", where) from error
    except StoreError as error:
        raise Unverifiable(Check.CONTENT, str(error), where) from error
    if sha256(content) != digest:
        raise Invalid(Check.CONTENT, "the store holds other bytes than were signed", where)
