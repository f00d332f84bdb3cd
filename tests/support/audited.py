"""An audited system over a small world: real chains and file stores, and a replayer that tests steer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from world import World
from world_training import ENVIRONMENT

from audit.ports import AuditedSystem
from audit.spotcheck import Recomputation, Verdict
from chaincode.api import Run, Step
from store import FileStore


class FakeReplayer:
    """Answers with the recorded result, but for the steps that ``wrong`` names."""

    def __init__(self, wrong: Callable[[Step], bool] = lambda step: False) -> None:
        self.wrong = wrong
        self.asked: list[tuple[Step, bytes, bytes, tuple[bytes, ...], bytes | None]] = []

    def replay(
        self,
        run: Run,
        step: Step,
        parent: bytes,
        aggregate: bytes,
        data: Sequence[bytes],
        claimed: bytes | None,
    ) -> Recomputation:
        self.asked.append((step, parent, aggregate, tuple(data), claimed))
        if self.wrong(step):
            return Recomputation(b"\xee" * 32, Verdict.DIFFERS, ENVIRONMENT)
        return Recomputation(step.result, Verdict.EQUAL, ENVIRONMENT)


def make_stores(world: World, folder: Path) -> dict[str, FileStore]:
    """A store a chain, with every reading and manifest of the world."""
    stores = {chain: FileStore(folder / chain) for chain in world.chains}
    for store in stores.values():
        store.put_pack(list(world.contents.values()))
        for manifest in world.manifests.values():
            store.put(manifest)
    return stores


def audited(world: World, stores: dict[str, FileStore], replayer: FakeReplayer | None) -> AuditedSystem:
    """The system as the composition root would hand it in."""
    return AuditedSystem(world.trust(), world.ledgers, world.indexes, world.prover, stores, replayer)


def opener_of(system: AuditedSystem) -> Callable[[Path | None], object]:
    """An opener that always opens this one."""

    @contextmanager
    def opened(folder: Path | None) -> Iterator[AuditedSystem]:
        yield system

    return opened
