"""Counts the kills of a session of fault tests."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fleet_world import Kill

__all__ = ["KINDS", "Tally"]

KINDS = ("relay", "gateway", "signer", "peer", "aggregator")


class Tally:
    """Every kill of this session."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.kills: list[Kill] = []
        self.scenes: set[str] = set()
        self._started = time.monotonic()

    def add(self, scene: str, kills: Sequence[Kill]) -> None:
        """A scene has ended, and all that must hold held."""
        self.scenes.add(scene)
        self.kills += kills

    def by_process(self) -> dict[str, dict[str, int]]:
        """Kills, and kills while work was unfinished, of each kind of process."""
        counts: dict[str, dict[str, int]] = {kind: defaultdict(int) for kind in KINDS}
        for kill in self.kills:
            counts[kill.kind]["kills"] += 1
            counts[kill.kind]["unfinished"] += bool(kill.unfinished)
            counts[kill.kind]["at_random"] += kill.point.startswith("random:")
        return {kind: dict(count) for kind, count in counts.items()}

    @property
    def unfinished(self) -> int:
        """How many kills happened while work was unfinished."""
        return sum(bool(kill.unfinished) for kill in self.kills)

    def line(self) -> str:
        """For people."""
        parts = ", ".join(f"{kind} {count.get('kills', 0)}" for kind, count in self.by_process().items())
        share = 100 * self.unfinished / len(self.kills)
        return (
            f"{len(self.kills)} kills ({parts}), {share:.0f} % while work was unfinished; "
            f"EDGEPROOF_FAULT_SEED={self.seed}"
        )

    def write(self, folder: Path) -> None:
        """Keep it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        summary = {
            "seed": self.seed,
            "kills": len(self.kills),
            "unfinished": self.unfinished,
            "processes": self.by_process(),
            "scenes": sorted(self.scenes),
            "seconds": round(time.monotonic() - self._started, 1),
            "points": [
                {"process": kill.process, "point": kill.point, "unfinished": kill.unfinished}
                for kill in self.kills
            ],
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
