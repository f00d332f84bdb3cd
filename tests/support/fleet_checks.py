"""What must hold of a deployment after any kills, checked from its files alone, once every process is gone.

Nothing here asks the code that was killed: ledgers, stores and indexes are opened anew, and the chains' own
blocks decide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_load import Acknowledged

from audit import read_bundle, read_trust, verify_bundle
from chaincode.api import (
    AcceptAnchor,
    AdoptRun,
    Attest,
    CommitModel,
    CreateRun,
    EnrolDevice,
    FixCut,
    GrantDelegation,
    PublishModel,
    SetDeviceStatus,
    SignAnchor,
    State,
    Subject,
    SubmitBatch,
    SubmitStep,
)
from chaincode.payloads import decode_result
from edgeproof.deployment import Backend, Deployment
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from ledger.embedded import EmbeddedLedger
from ledger.index import ChainIndex
from protocol.bundle import serialise_bundle
from protocol.elements import ElementView, views
from protocol.encodings import decode
from protocol.readings import SignedReading
from protocol.signature_base import record_id
from protocol.trust import serialise_trust
from store import FileStore

__all__ = ["Found", "check_everything"]


@dataclass(frozen=True)
class Found:
    """How much was checked."""

    records: int
    bundles: int
    anchors: int
    steps: int
    blocks: int


def check_everything(
    deployment: Deployment,
    acknowledged: Sequence[Acknowledged],
    work: Path,
    *,
    rounds: int = 0,
    run: str = "",
) -> Found:
    """Check all of it.

    Args:
        deployment: whose processes have ended; on Fabric all but the network's own, which answers.
        acknowledged: every reading that was answered with 201.
        work: an empty folder.
        rounds: of the training run that was finished; 0 without one.
        run: its name.

    Raises:
        AssertionError: the first thing that does not hold.
        LedgerError, StoreError, AuditError: likewise, by the room that says so.
    """
    blocks = 0
    if deployment.plan.ledger is Backend.EMBEDDED:
        for plan in deployment.plan.chains:
            ledger = EmbeddedLedger(deployment.ledger_path(plan.chain))
            blocks += ledger.verify().height
            ledger.close()
    with Parts(deployment, "checks", caches=work) as parts:
        chains = {name: _Chain(parts, name) for name in parts.readers}
        records = sum(_check_records(deployment, chain, acknowledged) for chain in chains.values())
        for name, chain in chains.items():
            _check_devices(chain)
            _check_caches(deployment, parts, chain)
            _check_cuts(chain, [msp for owner, msp in deployment.organisations() if owner.chain == name])
        anchors = _check_anchors(deployment, chains)
        steps = _check_run(deployment, chains, run, rounds) if rounds else 0
        bundles = _check_bundles(parts, acknowledged, run, rounds)
    return Found(records, bundles, anchors, steps, blocks)


class _Chain:
    """A chain with its valid transactions."""

    def __init__(self, parts: Parts, name: str) -> None:
        self.name = name
        self.ledger = parts.readers[name]
        self.index: ChainIndex = parts.index(self.ledger)
        self.index.sync()
        self.everything = [view for block in self.ledger.blocks(0) for view in views(block)]
        self.valid: dict[str, list[ElementView]] = defaultdict(list)
        for view in self.everything:
            if view.code == 0:
                self.valid[view.function].append(view)

    def results(self, message: type[Any]) -> list[Any]:
        return [decode_result(message, view.payload) for view in self.valid[message.FUNCTION]]

    def arguments(self, message: type[Any]) -> list[Any]:
        return [decode(message, view.argument) for view in self.valid[message.FUNCTION]]


# ---------------------------------------------------------------------- readings


def _check_records(deployment: Deployment, chain: _Chain, acknowledged: Sequence[Acknowledged]) -> int:
    """Every acknowledged reading once, where its answer says; every recorded one in the store."""
    where: dict[bytes, tuple[str, int]] = {}
    readings: list[SignedReading] = []
    for view in chain.valid[SubmitBatch.FUNCTION]:
        for position, reading in enumerate(decode(SubmitBatch, view.argument).readings):
            record = record_id(chain.name, reading)
            assert record not in where, f"{chain.name}: record {record.hex()} is recorded twice"
            where[record] = (view.transaction, position)
            readings.append(reading)
    nonces = Counter((reading.device, reading.nonce) for reading in readings)
    assert not [use for use, count in nonces.items() if count > 1], "a nonce was used twice"
    mine = [one for one in acknowledged if one.edge == chain.name]
    assert len({one.recorded.record for one in mine}) == len(mine)
    for one in mine:
        assert one.recorded.record == one.prepared.record
        # The answer to a repeat is the first attempt's.
        assert where.get(one.prepared.record) == (one.recorded.transaction, one.recorded.index)
    # The devices do not stop before everything is acknowledged: nothing else may be there.
    assert where.keys() == {one.prepared.record for one in mine}
    if chain.name != deployment.plan.main.chain:
        store = FileStore(deployment.store_path(chain.name))
        bodies = {one.prepared.record: one.prepared.data for one in mine}
        for reading in readings:
            assert store.get(reading.content_digest) == bodies[record_id(chain.name, reading)]
        report = store.verify()
        assert report.damaged == ()
        store.close()
    return len(readings)


def _check_devices(chain: _Chain) -> None:
    """What owners asked for was done once each: devices' and grants' sequences are dense."""
    changes: dict[str, list[int]] = defaultdict(list)
    for device in (*chain.results(EnrolDevice), *chain.results(SetDeviceStatus)):
        changes[device.device].append(device.sequence)
    grants: dict[str, list[int]] = defaultdict(list)
    for grant in chain.results(GrantDelegation):
        grants[f"{grant.device}@{grant.gateway}"].append(grant.sequence)
    for what, sequences in (changes | grants).items():
        assert sequences == list(range(1, len(sequences) + 1)), f"{what}: {sequences}"
    enrolled = [device.device for device in chain.results(EnrolDevice)]
    assert sorted(enrolled) == sorted(changes)


# ---------------------------------------------------------------------- elements and anchors


def _check_caches(deployment: Deployment, parts: Parts, chain: _Chain) -> None:
    """Elements are numbered densely, and what killed processes kept says the same as the chain itself."""
    numbered = [chain.index.element(number).element for number in range(1, chain.index.elements + 1)]
    assert [(element.block, element.index, element.code) for element in numbered] == [
        (view.block, view.index, view.code) for view in chain.everything
    ]
    own = chain.index.statements()
    ends = [0, *(statement.last for statement in own)]
    assert [statement.first for statement in own] == [end + 1 for end in ends[:-1]]
    for path in sorted(deployment.root.glob(f"state/*/{chain.name}.sqlite")):
        kept = ChainIndex(chain.ledger, parts.parameters(chain.name), path)
        kept.sync()
        assert kept.elements == chain.index.elements, path
        assert kept.statements() == own, path
        for element in numbered:
            assert kept.element(element.number).element == element, path
        assert kept.primes(1, len(numbered)) == chain.index.primes(1, len(numbered)), path
        kept.close()


def _check_cuts(chain: _Chain, organisations: Sequence[str]) -> None:
    """Cuts are numbered densely; each has one statement, signed at most once by each organisation."""
    cuts = [cut.number for cut in chain.results(FixCut)]
    assert cuts == list(range(1, len(cuts) + 1)), f"{chain.name}: cuts {cuts}"
    signed = chain.results(SignAnchor)
    assert all(count == 1 for count in Counter((one.number, one.msp_id) for one in signed).values())
    for number in cuts:
        statements = {one.statement for one in signed if one.number == number}
        assert statements == {chain.index.statement(number).digest()}, f"{chain.name}: cut {number}"
    # Every signer goes on after the kills: the newest cut lacks nobody's signature.
    assert {one.msp_id for one in signed if one.number == cuts[-1]} == set(organisations)


def _check_anchors(deployment: Deployment, chains: Mapping[str, _Chain]) -> int:
    """Each anchor of each chain is accepted exactly once by each holder, in order, up to the newest cut."""
    main, edges = deployment.plan.main.chain, [edge.chain for edge in deployment.plan.edges]
    count = 0
    for holder, chain in chains.items():
        accepted = chain.results(AcceptAnchor)
        for source in edges if holder == main else [main]:
            numbers = [one.number for one in accepted if one.chain == source]
            cuts = len(chains[source].valid[FixCut.FUNCTION])
            assert numbers == list(range(1, cuts + 1)), f"{holder} holds of {source}: {numbers}; {cuts} cuts"
            for one in accepted:
                if one.chain == source:
                    assert one.statement == chains[source].index.statement(one.number).digest()
            count += len(numbers)
        assert {one.chain for one in accepted} == set(edges if holder == main else [main])
    return count


# ---------------------------------------------------------------------- training


def _check_run(deployment: Deployment, chains: Mapping[str, _Chain], run: str, rounds: int) -> int:
    """Every step and version was made once, accepted once, and voted on once by each organisation."""
    main = deployment.plan.main
    created = [one.run for one in chains[main.chain].results(CreateRun)]
    assert created == [run]
    numbers = list(range(1, rounds + 1))
    versions = [one.version for one in chains[main.chain].results(CommitModel)]
    assert versions == numbers, f"versions {versions}"
    assert all(one.attempt == 1 for one in chains[main.chain].results(CommitModel))
    _check_votes(chains[main.chain], Subject.AGGREGATE, numbers, main.organisations)
    model = {one.version: one.result for one in chains[main.chain].results(CommitModel)}
    _check_trees(deployment, main.chain, model.values())
    for edge in deployment.plan.edges:
        chain = chains[edge.chain]
        assert [one.run for one in chain.results(AdoptRun)] == [run]
        steps = chain.results(SubmitStep)
        # Nobody voted against an honest step: one attempt a number, and no gap.
        assert [(one.number, one.attempt) for one in steps] == [(number, 1) for number in numbers]
        _check_votes(chain, Subject.STEP, numbers, edge.organisations)
        assert [one.version for one in chain.results(PublishModel)] == numbers
        assert {one.version: one.result for one in chain.results(PublishModel)} == model
        # A step follows from the one before and from the version that came down.
        results = {one.number: one.result for one in steps}
        _check_trees(deployment, edge.chain, [*results.values(), *model.values()])
        for step in steps[1:]:
            assert step.parent == results[step.number - 1]
            assert step.aggregate == model[step.number - 1]
    return rounds * len(deployment.plan.edges)


def _check_trees(deployment: Deployment, chain: str, addresses: Iterable[bytes]) -> None:
    """Weights that a chain names are in its store, whole."""
    store = FileStore(deployment.store_path(chain))
    for address in addresses:
        store.get_tree(address)
    assert store.verify().damaged == ()
    store.close()


def _check_votes(
    chain: _Chain, subject: Subject, numbers: Sequence[int], organisations: Sequence[str]
) -> None:
    votes = [message.attestation for message in chain.arguments(Attest)]
    assert all(vote.subject is subject and vote.attempt == 1 and vote.agrees for vote in votes)
    cast = Counter((vote.number, vote.organisation) for vote in votes)
    assert all(count == 1 for count in cast.values()), f"{chain.name}: voted twice: {cast}"
    # All but the author vote, each once.
    by_number = Counter(vote.number for vote in votes)
    assert by_number == dict.fromkeys(numbers, len(organisations) - 1)
    outcomes = [one for one in chain.results(Attest) if one.state is State.ACCEPTED]
    first = {(one.number, one.attempt) for one in outcomes}
    assert first == {(number, 1) for number in numbers}, f"{chain.name}: accepted {first}"


# ---------------------------------------------------------------------- bundles


def _check_bundles(parts: Parts, acknowledged: Sequence[Acknowledged], run: str, rounds: int) -> int:
    """A bundle of every acknowledged record, and of the model, verifies against the trust root."""
    trust = read_trust(serialise_trust(export_trust(parts)))
    count = 0
    for one in acknowledged:
        bundle = parts.prover.record_bundle(one.edge, one.recorded.record)
        verified = verify_bundle(read_bundle(serialise_bundle(bundle)), trust)
        assert verified.subject == one.recorded.record.hex()
        count += 1
    if rounds:
        bundle = parts.prover.model_bundle(run, rounds)
        verified = verify_bundle(read_bundle(serialise_bundle(bundle)), trust)
        assert verified.subject == f"{run}:{rounds}"
        count += 1
    return count
