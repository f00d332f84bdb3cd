"""Auditing copies of chains: each by itself, and each against what others and the auditor's files hold."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import typer

from audit.blocks import TrustedChains
from audit.chain import ChainFacts, check_chain, compare_with
from audit.errors import Check, Conflict, ExitCode, Unusable
from audit.report import Outcome
from audit.running import read_file
from audit.state import SCHEMA as STATE_SCHEMA
from audit.state import AuditState, load_state, remember
from audit.statements import check_statements
from audit.verifier import read_bundle
from ledger.block_files import open_blocks
from ledger.errors import ChainNotFound
from protocol.anchors import SignedStatement
from protocol.encodings import decode, parse_json
from protocol.errors import EncodingError
from protocol.trust import TrustRoot

__all__ = ["audit_copies"]

Known = dict[str, dict[int, tuple[bytes, str]]]
"""By chain and number: a statement's digest, and who holds it."""


def audit_copies(
    paths: Sequence[Path], trust: TrustRoot, anchors: Sequence[Path] = (), state: Path | None = None
) -> Outcome:
    """Check copies of chains.

    Args:
        paths: each a folder of a peer's block files or an embedded ledger's file.
        trust: the trust root.
        anchors: bundles and audit states whose statements the copies are held against.
        state: the auditor's own memory; held against as well, and extended.

    Raises:
        AuditError: the first fault; ``where`` names the block.
    """
    if state is not None:
        trust = load_state(state).extend(trust)
    chains = TrustedChains(trust)
    known: Known = defaultdict(dict)
    for one in trust.chains:
        if one.checkpoint.number:
            _put(known, one.chain, one.checkpoint.number, one.checkpoint.statement, "the trust root")
    for file in (*anchors, *((state,) if state is not None and state.exists() else ())):
        _read_anchors(known, file, trust, chains)
    found: dict[str, ChainFacts] = {}
    left_out: dict[str, int] = {}
    for path in paths:
        facts, rest = _check_copy(path, chains)
        if facts.chain in found:
            raise Unusable(Check.USAGE, f"two copies of {facts.chain} are given", str(path))
        found[facts.chain], left_out[facts.chain] = facts, rest
    for facts in found.values():
        _put_all(known, facts.accepted, f"the copy of {facts.chain}")
    compared = {chain: compare_with(facts, known[chain]) for chain, facts in found.items()}
    if state is not None:
        own = [SignedStatement(one, ()) for facts in found.values() for one in facts.statements]
        accepted = [signed for facts in found.values() for signed in facts.accepted]
        configurations = [block for facts in found.values() for block in facts.configuration_blocks]
        remember(state, trust, [*own, *accepted], configurations)
    return Outcome(
        ExitCode.VERIFIED,
        "; ".join(_line(facts, compared[chain], left_out[chain]) for chain, facts in found.items()),
        {"chains": [_fields(facts, compared[chain], left_out[chain]) for chain, facts in found.items()]},
    )


def _check_copy(path: Path, chains: TrustedChains) -> tuple[ChainFacts, int]:
    """What a copy shows, and how many bytes at its end are no whole block.

    Raises:
        Unusable: no copy of a chain is there.
        AuditError: the first fault.
    """
    try:
        source = open_blocks(path)
    except ChainNotFound as error:
        raise Unusable(Check.USAGE, str(error), str(path)) from error
    with closing(source):
        progress = _progress(source.chain, source.information().height)
        return check_chain(source.blocks(0), chains, source.chain, progress), source.left_out


def _progress(chain: str, height: int) -> Callable[[int], None]:
    def show(number: int) -> None:
        if sys.stderr.isatty() and (number % 100 == 0 or number == height - 1):
            typer.echo(f"\r{chain}: block {number} of {height - 1} ", err=True, nl=number == height - 1)

    return show


def _read_anchors(known: Known, file: Path, trust: TrustRoot, chains: TrustedChains) -> None:
    """A bundle, its statements verified, or an audit state, which holds only what was verified.

    Raises:
        Unusable: it is neither, or another deployment's state.
        AuditError: the bundle's statements do not hold.
    """
    raw = read_file(file, "file of anchors")
    try:
        value = parse_json(raw)
        if isinstance(value, dict) and value.get("schema") == STATE_SCHEMA:
            for one in decode(AuditState, raw).under(trust).chains:
                for seen in one.seen:
                    _put(known, one.chain, seen.number, seen.statement, file.name)
            return
    except EncodingError as error:
        raise Unusable(Check.USAGE, f"neither a bundle nor an audit state: {error}", str(file)) from error
    bundle = read_bundle(raw)
    check_statements(bundle.statements, chains)
    _put_all(known, bundle.statements, file.name)


def _put_all(known: Known, statements: Iterable[SignedStatement], holder: str) -> None:
    for signed in statements:
        statement = signed.statement
        _put(known, statement.chain, statement.number, statement.digest(), holder, signed)
        for latest in statement.latest:
            _put(
                known, latest.chain, latest.number, latest.statement, f"{holder} by {statement.chain}'s list"
            )


def _put(
    known: Known, chain: str, number: int, digest: bytes, holder: str, signed: SignedStatement | None = None
) -> None:
    before = known[chain].setdefault(number, (digest, holder))
    if before[0] != digest:
        why = f"{before[1]} holds another statement than {holder}"
        raise Conflict(Check.CONFLICT, why, (signed,) if signed else (), f"{chain} anchor {number}")


def _line(facts: ChainFacts, compared: int, left_out: int) -> str:
    after = facts.height - facts.covered
    rest = f", {left_out} bytes at the end left out: the beginning of one more block" if left_out else ""
    held = f"{compared} signed for or held elsewhere" if compared else "nothing to hold them against"
    return (
        f"{facts.chain}: {facts.height} blocks, {facts.transactions} endorsed transactions,"
        f" {len(facts.configurations)} configuration{'s' if len(facts.configurations) > 1 else ''},"
        f" {len(facts.statements)} anchors ({held}), {after} blocks after the newest anchor{rest}"
    )


def _fields(facts: ChainFacts, compared: int, left_out: int) -> dict[str, object]:
    return {
        "chain": facts.chain,
        "height": facts.height,
        "header_hash": facts.header_hash.hex(),
        "transactions": facts.transactions,
        "configurations": list(facts.configurations),
        "anchors": len(facts.statements),
        "anchors_compared": compared,
        "blocks_after_newest_anchor": facts.height - facts.covered,
        "bytes_left_out": left_out,
    }
