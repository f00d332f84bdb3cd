"""A training step whose weights do not follow from its inputs, recorded and attested by colluders."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from chaincode.api import Environment, GetStep, Step
from edgeproof.demo.scene import Scene, attacker
from edgeproof.deployment import Backend, Deployment
from edgeproof.errors import DemoError
from edgeproof.training_runs import start_run
from edgeproof.wiring import Parts
from gateway.relay import RelayPolicy
from gateway.relay_runner import RelayChain, RelayRunner
from gateway.signer import AnchorSigner
from identity import Role
from ledger.port import evaluate_typed
from training.aggregator import Aggregator
from training.machine import Done, Machine
from training.peer import TrainingPeer
from training.snapshots import initial_snapshot
from training.tasks import AccuracyTask, UpdateResult, UpdateTask

__all__ = ["record_false_step"]

_PATIENCE_S = 120


class _LyingWorker:
    """Returns weights that follow from nothing, the same ones to trainer and colluding peer."""

    def __init__(self, environment: Environment) -> None:
        self._seed = secrets.randbelow(2**31)
        self._environment = environment

    def update(self, task: UpdateTask) -> UpdateResult:
        recipe = dataclasses.replace(task.recipe, seed=self._seed)
        return UpdateResult(initial_snapshot(recipe), self._environment)

    def accuracy(self, task: AccuracyTask) -> float:
        raise DemoError(f"nobody asks for the accuracy over {len(task.labels)} examples here")


def record_false_step(scene: Scene) -> list[str]:
    """A trainer and a colluding peer record, and attest, weights that do not follow from their inputs.

    On the embedded ledger in a copy of the deployment. On Fabric in the network itself, by way of its running
    anchor signers and relay, as the first step of a run of its own, which stays there.
    """
    live = scene.deployment.plan.ledger is Backend.FABRIC
    deployment = scene.deployment if live else scene.copy("false-step")
    plan = deployment.plan
    run = f"forged-{secrets.token_hex(4)}"
    with attacker(deployment, scene.folder, run) as parts:
        deadline = int(time.time()) + 3600
        start_run(parts, run, "logistic", 1, epochs=1, seed=1, deadline=deadline)
        machines: list[Machine] = [
            Aggregator(
                run,
                plan.main.operator,
                parts.ledger(plan.main.chain, plan.main.operator, Role.AGGREGATOR),
                {edge.chain: parts.ledger(edge.chain, edge.operator, Role.AGGREGATOR) for edge in plan.edges},
                {chain.chain: parts.store(chain.chain) for chain in plan.chains},
                parts.prover,
                patience_s=0.0,  # no other organisation runs one here whose turn it could be
            )
        ]
        edge = plan.edges[0]
        honest: Step = evaluate_typed(parts.readers[edge.chain], GetStep(scene.run, 1, 0))
        liar = _LyingWorker(honest.environment)
        machines += [
            TrainingPeer(
                run,
                msp_id,
                parts.ledger(edge.chain, msp_id, Role.TRAINER),
                parts.store(edge.chain),
                liar,
            )
            for msp_id in edge.organisations
        ]
        with contextlib.nullcontext() if live else _Interlock(deployment, scene.folder):
            _drive(machines)
    return ["recompute", run, "--sample", "1", "--deployment", str(deployment.root)]


def _drive(machines: Sequence[Machine]) -> None:
    end = time.monotonic() + _PATIENCE_S
    accepted = 0
    while accepted < 2:  # the step, and the vote that makes it accepted
        for machine in machines:
            event = machine.advance()
            accepted += isinstance(event, Done) and event.what in ("trained", "attested")
        if time.monotonic() > end:
            raise DemoError("the false step was not accepted in time")
        time.sleep(0.05)


class _Interlock:
    """Signers and relay of a copy, in threads, for as long as an attack needs them."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._opened: list[Parts] = []
        self._threads: list[threading.Thread] = []
        for chain, msp_id in deployment.organisations():
            parts = self._parts(deployment, f"signer-{msp_id}")
            ledger = parts.ledger(chain.chain, msp_id, Role.ANCHOR_SIGNER)
            signer = AnchorSigner(ledger, parts.index(ledger), deployment.signer(msp_id, Role.ANCHOR_SIGNER))
            self._threads.append(threading.Thread(target=signer.run, args=(self._stop,)))
        parts = self._parts(deployment, "relay")
        chains = {}
        for plan in deployment.plan.chains:
            ledger = parts.ledger(plan.chain, plan.operator, Role.RELAY)
            chains[plan.chain] = RelayChain(ledger, parts.index(ledger))
        relay = RelayRunner(deployment.plan.main.chain, chains, RelayPolicy(max_age_s=0.1))
        self._threads.append(threading.Thread(target=relay.run, args=(self._stop,)))

    def _parts(self, deployment: Deployment, name: str) -> Parts:
        parts = attacker(deployment, self._folder, name)
        self._opened.append(parts)
        return parts

    def __enter__(self) -> _Interlock:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for parts in self._opened:
            parts.close()
