"""What the demo's attacks start from, and how one is judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeproof.demo.commands import Said, call_public
from edgeproof.demo.devices import DemoDevice
from edgeproof.deployment import Deployment
from edgeproof.wiring import Parts

__all__ = ["Attack", "AttackResult", "Scene", "attacker"]

# What a copy of a deployment need not have: caches, and what only a network's own processes use.
_NOT_COPIED = shutil.ignore_patterns("state", "nodes", "run", "logs", "builder", "packages", "channels")


@dataclass(frozen=True)
class Scene:
    """What the attacks start from."""

    deployment: Deployment
    folder: Path
    """For copies and whatever else the attackers make."""
    trust: Path
    bundle: Path
    """A model's bundle, with elements under several anchors; only after the run."""
    record: tuple[str, bytes, bytes]
    """(edge, record id, the reading's bytes)."""
    device: DemoDevice
    url: str
    """Of the device's gateway; empty when it does not run."""
    run: str
    """The honest run."""

    def copy(self, name: str) -> Deployment:
        """A fresh copy of the deployment; on Fabric of its stores, its chains are the network's own."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.deployment.root, target, ignore=_NOT_COPIED)
        return Deployment(target)

    def where(self, copy: Deployment) -> list[str]:
        """Arguments by which an audit command takes a copy for the deployment."""
        return ["--trust", str(self.trust), "--deployment", str(copy.root)]


@dataclass(frozen=True)
class AttackResult:
    """How an attack ended."""

    name: str
    what: str
    said: Said
    caught: bool


@dataclass(frozen=True)
class Attack:
    """An attack and what must be answered to it."""

    name: str
    what: str
    """One sentence for people."""
    exit_code: int
    expected: Mapping[str, object]
    """Fields of the command's JSON answer."""
    carry_out: Callable[[Scene], list[str]]
    """Does it; returns the arguments of the public command that judges."""
    undo: Callable[[Scene], None] = lambda scene: None
    """Called after the judgement, however it came out."""

    def run(self, scene: Scene) -> Said:
        """Carry it out and have it judged."""
        try:
            return call_public(self.carry_out(scene))
        finally:
            self.undo(scene)

    def judge(self, said: Said) -> AttackResult:
        """Whether what was answered is what must be answered."""
        answered = all(said.document.get(key) == value for key, value in self.expected.items())
        return AttackResult(self.name, self.what, said, answered and said.exit_code == self.exit_code)


def attacker(deployment: Deployment, folder: Path, name: str = "attacker") -> Parts:
    """Parts for an attacker, whose caches lie in a folder of its own."""
    return Parts(deployment, name, caches=folder / "caches" / name)
