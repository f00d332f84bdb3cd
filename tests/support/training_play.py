"""Training machines in a small world: fakes for store and worker, and a play that moves everybody along."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from world import MAIN, World, empty_world

from chaincode.api import Environment, Recipe, Run
from identity.roles import Role
from ledger.port import Ledger
from protocol.encodings import sha256
from store.errors import NotFound
from store.port import Report
from training.aggregator import Aggregator
from training.datasets import digit_reading
from training.machine import Done, Finished, Machine, Waiting
from training.peer import TrainingPeer
from training.recipe import default_recipe
from training.setup import create_run, plan_run
from training.snapshots import decode_snapshot, encode_snapshot, tree_hash
from training.tasks import AccuracyTask, UpdateResult, UpdateTask, Worker

ENVIRONMENT = Environment("3.11", "2.9", "x86_64", "avx2")


class MemoryStore:
    """A ``store.port.Store`` in memory, whose objects can be hidden."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.trees: dict[bytes, bytes] = {}
        self.hidden: set[bytes] = set()

    def put(self, data: bytes) -> bytes:
        self.blobs[sha256(data)] = data
        return sha256(data)

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        return [self.put(item) for item in items]

    def get(self, address: bytes) -> bytes:
        return self._get(self.blobs, address)

    def has(self, address: bytes) -> bool:
        return address in self.blobs and address not in self.hidden

    def put_tree(self, data: bytes) -> bytes:
        self.trees[tree_hash(data)] = data
        return tree_hash(data)

    def get_tree(self, address: bytes) -> bytes:
        return self._get(self.trees, address)

    def has_tree(self, address: bytes) -> bool:
        return address in self.trees and address not in self.hidden

    def verify(self) -> Report:
        return Report(1, len(self.blobs) + len(self.trees), 0, ())

    def _get(self, held: dict[bytes, bytes], address: bytes) -> bytes:
        if address in self.hidden or address not in held:
            raise NotFound(address)
        return held[address]


class ArithmeticWorker:
    """A ``Worker`` without torch: shifts every weight by what it is given, so that every input matters."""

    def __init__(self, environment: Environment = ENVIRONMENT, error: float = 0.0) -> None:
        self.environment = environment
        self.error = error
        self.updates: list[int] = []

    def update(self, task: UpdateTask) -> UpdateResult:
        self.updates.append(task.number)
        weights = decode_snapshot(task.aggregate)
        shift = float(task.features.sum()) / 1e4 + float(task.labels.sum()) / 1e4 + task.number / 100
        shift += decode_snapshot(task.parent)["output.bias"].sum() / 100 + self.error
        moved = {name: (tensor + np.float32(shift)).astype(np.float32) for name, tensor in weights.items()}
        return UpdateResult(encode_snapshot(moved), self.environment)

    def accuracy(self, task: AccuracyTask) -> float:
        return 0.0


def digits(edge: int, count: int) -> list[bytes]:
    """Readings of a made-up device."""
    return [
        digit_reading([(edge * 7 + n * 3 + p) % 17 for p in range(64)], (edge + n) % 10) for n in range(count)
    ]


@dataclass
class Play:
    """A world with a run, its stores, and machines that can be made anew at any time."""

    world: World
    run: Run
    stores: dict[str, MemoryStore]
    worker: Worker
    clock: Callable[[], float] = time.time
    wrap: Callable[[Ledger], Ledger] = lambda ledger: ledger
    """Put around every ledger that a machine gets."""
    workers: dict[str, Worker] = field(default_factory=dict)
    """By organisation, where one has another worker."""
    patience_s: float = 0.0
    thorough: bool = False
    events: list[tuple[str, object]] = field(default_factory=list)

    @property
    def edges(self) -> list[str]:
        return [chain for chain in self.world.chains if chain != MAIN]

    def peer(self, edge: str, position: int) -> TrainingPeer:
        organisation = self.world.chains[edge].organisations[position]
        return TrainingPeer(
            self.run.run,
            organisation,
            self.wrap(self.world.acting_as(edge, Role.TRAINER, position)),
            self.stores[edge],
            self.workers.get(organisation, self.worker),
            patience_s=self.patience_s,
            thorough=self.thorough,
            clock=self.clock,
        )

    def aggregator(self, position: int) -> Aggregator:
        return Aggregator(
            self.run.run,
            self.world.chains[MAIN].organisations[position],
            self.wrap(self.world.acting_as(MAIN, Role.AGGREGATOR, position)),
            {edge: self.wrap(self.world.acting_as(edge, Role.CLIENT)) for edge in self.edges},
            self.stores,
            self.world.prover,
            patience_s=self.patience_s,
            clock=self.clock,
        )

    def machines(self) -> list[Machine]:
        """Everybody, new."""
        peers = [self.peer(edge, n) for edge in self.edges for n in range(3)]
        return [*peers, self.aggregator(0), self.aggregator(1)]

    def drive(self, machines: list[Machine], turns: int = 200) -> None:
        """Advance everybody until all are finished; anchors are exchanged whenever nobody can go on."""
        idle = 0
        for _ in range(turns):
            events = [(machine.name, machine.advance()) for machine in machines]
            self.events += [event for event in events if isinstance(event[1], Done)]
            if all(isinstance(event, Finished) for _, event in events):
                return
            if any(isinstance(event, Done) for _, event in events):
                idle = 0
                continue
            idle += 1
            assert idle < 4, f"nobody moves: {[(n, e.reason) for n, e in events if isinstance(e, Waiting)]}"
            self.world.interlock()
        raise AssertionError(f"not finished after {turns} turns")

    def done(self, what: str) -> list[tuple[str, Done]]:
        return [
            (name, event) for name, event in self.events if isinstance(event, Done) and event.what == what
        ]


def stage(
    folder,
    worker: Worker,
    *,
    rounds: int = 2,
    edges: Sequence[str] = ("edge-a", "edge-b"),
    recipe: Recipe | None = None,
    contents: dict[str, list[bytes]] | None = None,
    seconds: int = 3600,
) -> Play:
    """A world whose devices have sent digits, and a run on main that nobody has adopted yet."""
    world = empty_world(folder, edges)
    stores = {chain: MemoryStore() for chain in world.chains}
    for position, edge in enumerate(edges):
        readings = contents[edge] if contents else digits(position, 6 + 2 * position)
        stores[edge].put_pack(readings)
        device = world.enrol(edge, "camera-1")
        for start in range(0, len(readings), 500):
            world.submit_contents(device, readings[start : start + 500])
    organisations = {chain: made.organisations for chain, made in world.chains.items()}
    deadline = int(time.time()) + seconds
    recipe = recipe or default_recipe("logistic")
    run = plan_run("run-1", recipe, rounds, organisations, deadline, stores[MAIN])
    create_run(world.acting_as(MAIN, Role.AGGREGATOR), run)
    return Play(world, run, stores, worker)
