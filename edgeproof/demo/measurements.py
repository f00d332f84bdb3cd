"""What the demo measures and counts: all of it read from the chains and from what ran."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from audit.verifier import read_bundle, read_trust, verify_bundle
from chaincode.api import GetHeads, GetModel, Run, SubmitBatch, SubmitReading
from chaincode.payloads import decode_result
from edgeproof.demo.data import DigitsSplit, readings_of
from edgeproof.demo.report import ProofSample
from edgeproof.training_runs import accepted_versions
from edgeproof.wiring import Parts
from ledger.port import evaluate_typed
from protocol.bundle import serialise_bundle
from protocol.elements import ElementView, views
from protocol.encodings import canonical_json, from_json, parse_json
from protocol.readings import SignedReading
from protocol.signature_base import record_id

__all__ = ["Counts", "accuracies", "all_anchored", "count_chains", "recorded", "sample_proofs"]

_RECORDING = {SubmitBatch.FUNCTION: SubmitBatch, SubmitReading.FUNCTION: SubmitReading}


class Counts:
    """Counts over all chains.

    Attributes:
        records: readings recorded.
        blocks: of all chains.
        type2: anchors of edges that main accepted.
        type3: anchors of main that edges accepted, over all edges.
        chains: (chain, blocks, elements, anchors).
        anchor_times: chain to its cuts' times, seconds after the first transaction of all.
    """

    def __init__(self) -> None:
        self.records = self.blocks = self.type2 = self.type3 = 0
        self.chains: list[tuple[str, int, int, int]] = []
        self.anchor_times: dict[str, list[float]] = {}


def count_chains(parts: Parts, since: Mapping[str, int]) -> Counts:
    """Walk every block of every chain once, each from block ``since`` on."""
    counts = Counts()
    main = parts.deployment.plan.main.chain
    cut_times: dict[str, list[int]] = {}
    first = None
    for chain, ledger in parts.readers.items():
        blocks = elements = cuts = 0
        for block in ledger.blocks(since[chain]):
            blocks += 1
            for view in views(block):
                elements += 1
                if view.code != 0 or not view.function:
                    continue
                first = view.timestamp_ms if first is None else min(first, view.timestamp_ms)
                if view.function in _RECORDING:
                    counts.records += decode_result(_RECORDING[view.function], view.payload).count
                elif view.function == "interlock:cut":
                    cuts += 1
                    cut_times.setdefault(chain, []).append(view.timestamp_ms)
                elif view.function == "interlock:accept":
                    if chain == main:
                        counts.type2 += 1
                    else:
                        counts.type3 += 1
        counts.blocks += blocks
        counts.chains.append((chain, blocks, elements, cuts))
    start = first or 0
    counts.anchor_times = {chain: [(t - start) / 1000 for t in times] for chain, times in cut_times.items()}
    return counts


def all_anchored(parts: Parts) -> bool:
    """Whether no chain has news that its newest anchor does not cover, and every holder has that anchor."""
    plan = parts.deployment.plan
    held = {
        (holder, head.chain): head.number
        for holder, ledger in parts.readers.items()
        for head in evaluate_typed(ledger, GetHeads()).heads
    }
    for chain, ledger in parts.readers.items():
        index = parts.index(ledger)
        index.sync()
        holders = [edge.chain for edge in plan.edges] if chain == plan.main.chain else [plan.main.chain]
        if index.news or any(held.get((holder, chain), 0) < index.anchor for holder in holders):
            return False
    return True


def recorded(parts: Parts, chain: str, since: Mapping[str, int]) -> list[tuple[bytes, SignedReading]]:
    """Record ids and readings of a chain, from block ``since`` on, as they were recorded."""
    found = []
    for block in parts.readers[chain].blocks(since[chain]):
        for view in views(block):
            if view.code == 0 and view.function in _RECORDING:
                for item in _readings(view):
                    reading = from_json(SignedReading, item)
                    found.append((record_id(chain, reading), reading))
    return found


def _readings(view: ElementView) -> Sequence[Any]:
    argument = parse_json(view.argument)
    assert isinstance(argument, dict)
    return argument["readings"] if "readings" in argument else [argument["reading"]]


def sample_proofs(parts: Parts, trust: bytes, each: int, since: Mapping[str, int]) -> list[ProofSample]:
    """Prove and verify ``each`` records of every edge, spread over its chain; times are of one call each."""
    root = read_trust(trust)
    samples = []
    for edge in parts.deployment.plan.edges:
        records = [record for record, _ in recorded(parts, edge.chain, since)]
        step = max(1, len(records) // each)
        for record in records[::step][:each]:
            started = time.perf_counter()
            bundle = parts.prover.record_bundle(edge.chain, record)
            raw = serialise_bundle(bundle)
            proved = time.perf_counter()
            verify_bundle(read_bundle(raw), root)
            verified = time.perf_counter()
            samples.append(
                ProofSample(
                    chain=edge.chain,
                    element=bundle.batches[0].number,
                    size=len(raw),
                    prove_ms=(proved - started) * 1000,
                    verify_ms=(verified - proved) * 1000,
                )
            )
    return samples


def accuracies(parts: Parts, run: Run, split: DigitsSplit, devices: int) -> tuple[list[float], float]:
    """Accuracy of every accepted version on the held-out split, and that of central training.

    Central training has the same training split, model, initial weights and number of epochs.
    """
    from training.central import central
    from training.datasets import decode_readings
    from training.pool import ForkedWorker
    from training.tasks import AccuracyTask

    held_out = decode_readings(
        run.recipe,
        (),
        [canonical_json({"label": label, "pixels": list(image)}) for image, label in split.held_out],
    )
    everything = [reading for part in readings_of(split, devices) for reading in part]
    train = decode_readings(run.recipe, (), everything)
    main = parts.deployment.plan.main.chain
    store, ledger = parts.store(main), parts.readers[main]
    federated = []
    with ForkedWorker() as worker:
        for version in range(1, accepted_versions(parts, run) + 1):
            model = evaluate_typed(ledger, GetModel(run.run, version, 0))
            snapshot = store.get_tree(model.result)
            federated.append(
                worker.accuracy(AccuracyTask(run.recipe, snapshot, held_out.features, held_out.labels))
            )
        course = central(run.recipe, run.rounds, [train], held_out, worker)
    return federated, course.accuracies[-1]
