"""A world state in memory with Fabric's semantics, and a chain of contract calls over it.

Simulations see what is committed and never their own writes; they record reads, ranges and writes, and a
commit checks them as a peer does (MVCC and phantoms).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaincode.api import Message
from chaincode.context import Context
from chaincode.payloads import decode_result
from chaincode.registry import invoke
from identity import Identity, Role
from protocol.encodings import encode


class ReadConflict(Exception):
    """A key or range that the simulation read has changed since (MVCC or phantom)."""


class FakeWorldState:
    """Committed keys with versions."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}

    def simulate(self) -> Simulation:
        return Simulation(self)

    def commit(self, simulation: Simulation) -> None:
        for key, version in simulation.reads.items():
            if self.versions.get(key, 0) != version:
                raise ReadConflict(key)
        for (start, end), seen in simulation.ranges.items():
            if self.keys(start, end) != seen:
                raise ReadConflict(f"{start}..{end}")
        for key, value in simulation.writes.items():
            self.versions[key] = self.versions.get(key, 0) + 1
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def keys(self, start: str, end: str) -> tuple[tuple[str, int], ...]:
        return tuple((key, self.versions[key]) for key in sorted(self.values) if start <= key < end)


@dataclass
class Simulation:
    """One transaction's view: reads and writes are recorded, writes are not visible."""

    world: FakeWorldState
    reads: dict[str, int] = field(default_factory=dict)
    ranges: dict[tuple[str, str], tuple[tuple[str, int], ...]] = field(default_factory=dict)
    writes: dict[str, bytes | None] = field(default_factory=dict)
    event: tuple[str, bytes] | None = None

    def get(self, key: str) -> bytes | None:
        self.reads[key] = self.world.versions.get(key, 0)
        return self.world.values.get(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        assert value, "Fabric reads an empty value as no value"
        assert key
        assert "\x00" not in key
        self.writes[key] = value

    def delete(self, key: str) -> None:
        self.writes[key] = None

    def range(self, start: str, end: str) -> Iterator[tuple[str, bytes]]:
        keys = self.world.keys(start, end)
        self.ranges[(start, end)] = keys
        for key, version in keys:
            self.reads[key] = version
            yield key, self.world.values[key]

    def set_event(self, name: str, payload: bytes) -> None:
        self.event = (name, payload)


def caller(msp_id: str, role: Role = Role.CLIENT) -> Identity:
    """An identity as an MSP would have validated it."""
    classes = (Role.ADMIN, Role.PEER, Role.ORDERER)
    node_class = role.value if role in classes else Role.CLIENT.value
    return Identity(
        msp_id=msp_id,
        role=role,
        node_class=node_class,
        common_name=f"{role.value}@{msp_id}",
        certificate_der=b"",
        spki=b"",
    )


@dataclass
class Pending:
    """A simulated call that is not committed yet."""

    simulation: Simulation
    payload: bytes
    transaction: str
    kind: type[Message]

    @property
    def result(self) -> Any:
        return decode_result(self.kind, self.payload)


class FakeChain:
    """Runs the product's contracts on one chain; every committed call is kept in order."""

    def __init__(self, chain: str, now_ms: int = 1_750_000_000_000) -> None:
        self.chain = chain
        self.world = FakeWorldState()
        self.now_ms = now_ms
        self.committed: list[Pending] = []
        self._calls = 0

    def simulate(self, message: Any, by: Identity) -> Pending:
        """Endorse: raises what the contract refuses, changes nothing."""
        self._calls += 1
        transaction = hashlib.sha256(f"{self.chain}/{self._calls}".encode()).hexdigest()
        simulation = self.world.simulate()
        context = Context(simulation, self.chain, transaction, self.now_ms, by)
        payload = invoke(context, type(message).FUNCTION, encode(message))
        return Pending(simulation, payload, transaction, type(message))

    def commit(self, pending: Pending) -> Pending:
        """Raises ``ReadConflict`` where a peer would mark the transaction invalid."""
        self.world.commit(pending.simulation)
        self.committed.append(pending)
        return pending

    def submit(self, message: Any, by: Identity) -> Any:
        """Endorse and commit; the typed result."""
        return self.commit(self.simulate(message, by)).result

    def evaluate(self, message: Any, by: Identity | None = None) -> Any:
        """Ask without committing; the query must write nothing."""
        pending = self.simulate(message, by or caller("Anybody"))
        assert not pending.simulation.writes
        return pending.result
