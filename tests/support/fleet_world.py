"""A whole deployment in real processes, for tests that kill them.

::

    with FleetWorld(tmp_path, small_plan(1), Load) as world:
        world.arm("relay", ["before:interlock:accept", "after:interlock:cut:2"])
        world.start_services()
        ...
        world.settle()

Every process runs as it does in production, under the product's own supervisor. Each can be armed with a
point for each of its lives (``edgeproof.faults.FailpointQueue``), and killed at any time. Every kill is
written down with what was unfinished at that moment.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from fleet_load import Load
from fleet_processes import (
    caught_signals,
    children,
    command_line,
    free_port,
    has_environment,
    live_processes,
    session,
    wait_until,
)
from fleet_progress import Progress

from edgeproof.deployment import ChainPlan, Deployment, Plan
from edgeproof.faults import FailpointQueue
from edgeproof.fleet import service_specs, training_specs
from edgeproof.setup import make_deployment
from edgeproof.training_runs import start_run
from edgeproof.wiring import Parts
from network.child import ProcessSpec
from network.supervisor import Supervisor

__all__ = ["FleetWorld", "Kill", "small_plan"]

_SETTLE_S = 90.0
_ENV = shutil.which("env") or "/usr/bin/env"


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill -9 that happened."""

    process: str
    point: str
    """The failpoint, or ``random:`` and what was killed (``process``, ``worker`` or ``group``)."""
    unfinished: str
    """What was unfinished at that moment; empty when nothing was."""

    @property
    def kind(self) -> str:
        """``relay``, ``gateway``, ``signer``, ``peer`` or ``aggregator``."""
        return self.process.partition("-")[0]


def small_plan(edges: int) -> Plan:
    """Two organisations a chain: whoever is dead, its chain's quorum waits for it."""
    return dataclasses.replace(
        Plan.standard(edges),
        edges=tuple(ChainPlan(edge.chain, edge.organisations[:2]) for edge in Plan.standard(edges).edges),
    )


class FleetWorld:
    """One deployment, its processes, its devices, and the deaths among them.

    Attributes:
        deployment: on disk below ``root``.
        load: the devices.
        kills: every kill, in order.
    """

    def __init__(self, root: Path, where: Plan | Deployment, *, devices: int = 2, seed: int = 1) -> None:
        """Over a new deployment on the embedded ledger, or one that is there."""
        made = isinstance(where, Deployment)
        self.deployment: Deployment = where if made else make_deployment(root / "deployment", where)
        self.ports = {edge.chain: free_port() for edge in self.deployment.plan.edges}
        urls = {edge: f"http://127.0.0.1:{port}" for edge, port in self.ports.items()}
        self.load = Load(self.deployment, urls, devices, seed)
        self.kills: list[Kill] = []
        self._parts = Parts(self.deployment, "observer")
        self.progress = Progress(self._parts)
        self._points = root / "points"
        self._points.mkdir()
        self._mark = f"EDGEPROOF_FAILPOINT=@{self._points}"
        self._queues: dict[str, tuple[FailpointQueue, int]] = {}
        self._supervisor = Supervisor(root / "logs", backoff_s=0.02, max_restarts=1000)
        self._supervisor.on_death = lambda name, code: self.deaths.append((name, code))
        self.deaths: list[tuple[str, int]] = []
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="kills", daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> FleetWorld:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.load.stop()
        self._watching.set()
        self._watcher.join()
        self._supervisor.stop()
        self._parts.close()

    # ------------------------------------------------------------------ processes

    def arm(self, process: str, points: Sequence[str]) -> None:
        """The points at which a process is to die, one in each of its lives. Before it is started."""
        queue = FailpointQueue(self._points, process)
        queue.fill(points)
        self._queues[process] = (queue, len(points))

    def start_services(self) -> None:
        """Gateways, anchor signers, relay; then the devices are enrolled."""
        self._start(service_specs(self.deployment, self.ports))
        for gateway in self.names("gateway"):
            wait_until(partial(self.is_up, gateway), 60.0, self.logs)
        self.load.enrol()

    def start_training(self, run: str, rounds: int) -> None:
        """Create a run of the smallest model and start its peers and aggregators."""
        deadline = int(time.time()) + 3600
        made = start_run(self._parts, run, "logistic", rounds, epochs=1, seed=3, deadline=deadline)
        self.progress.follow(made)
        self._start(training_specs(self.deployment, run))

    def start_only(self, process: str) -> None:
        """Start one service alone."""
        self._start(spec for spec in service_specs(self.deployment, self.ports) if spec.name == process)

    def names(self, kind: str) -> list[str]:
        """Processes of a kind, sorted."""
        return sorted(name for name in self._supervisor.names() if name.partition("-")[0] == kind)

    def pid(self, process: str) -> int | None:
        """Process id of a running process."""
        return self._supervisor.pid(process)

    def heights(self) -> dict[str, int]:
        """Of every chain."""
        return {chain: ledger.information().height for chain, ledger in self._parts.readers.items()}

    def _start(self, specs: Iterable[ProcessSpec]) -> None:
        for spec in specs:
            extra = ("--max-age", "0.2") if spec.name == "relay" else ()
            # env is replaced by the process: the supervisor watches the process itself.
            command = (_ENV, self._mark, *spec.command, *extra)
            self._supervisor.start(ProcessSpec(spec.name, command))

    # ------------------------------------------------------------------ kills

    def kill(self, process: str, what: str = "process") -> Kill | None:
        """kill -9 now, without any failpoint.

        Args:
            process: by name.
            what: ``process``; ``worker`` (a gateway's only); ``group`` (both at once).

        Returns:
            The kill, or None when there was nothing running to be killed.
        """
        pid = self._supervisor.pid(process)
        if pid is None:
            return None
        unfinished = self._unfinished(process)
        try:
            if what == "worker":
                workers = children(pid)
                if not workers:
                    return None
                os.kill(workers[0], signal.SIGKILL)
            elif what == "group":
                os.killpg(pid, signal.SIGKILL)
            elif not self._supervisor.kill(process):
                return None
        except ProcessLookupError:
            return None
        return self._note(Kill(process, f"random:{what}", unfinished))

    def kill_at_random(self, chance: random.Random, processes: Sequence[str], count: int) -> None:
        """``count`` kills of processes drawn at random, at random times, each after a complete restart."""
        done = 0
        order = [name for _ in range(count // len(processes) + 1) for name in processes]
        chance.shuffle(order)
        while done < count:
            process = order[done]
            time.sleep(chance.uniform(0.05, 0.6))
            wait_until(partial(self.is_up, process), 30.0, f"{process} is not up")
            what = chance.choice(["process", "worker", "group"]) if "gateway" in process else "process"
            if self.kill(process, what) is not None:
                done += 1

    def is_up(self, process: str) -> bool:
        """Whether a process is past its start (a gateway: it answers)."""
        pid = self._supervisor.pid(process)
        if pid is None:
            return False
        if process.startswith("gateway-"):
            return self.load.answers(process.removeprefix("gateway-"))
        # Signals are handled from the point on where the work begins.
        return caught_signals(pid) & (1 << (signal.SIGTERM - 1)) != 0

    def points_left(self) -> dict[str, list[str]]:
        """Points that were not reached yet, by process."""
        return {name: left for name, (queue, _) in self._queues.items() if (left := queue.points())}

    def wait_for_points(self, timeout_s: float) -> None:
        """Until every armed point was reached.

        Raises:
            AssertionError: some were not.
        """
        wait_until(lambda: not self.points_left(), timeout_s, lambda: f"never reached: {self.points_left()}")
        # The last kills are noted, and what they hit is running again.
        wait_until(lambda: self._all_noted(), 5.0, "kills noted")

    def check_deaths(self) -> None:
        """Every death was one of the kills, and every kill was a death.

        Raises:
            AssertionError: a process ended by itself, or a kill did not happen.
        """
        others = [(name, code) for name, code in self.deaths if code != -signal.SIGKILL]
        assert not others, f"ended unasked: {others}"
        # A gateway's worker is its master's to start again: the supervisor does not see it die.
        expected = Counter(kill.process for kill in self.kills if not _worker_only(kill))
        assert Counter(name for name, _ in self.deaths) == expected
        for name, (queue, count) in self._queues.items():
            points = [
                kill.point for kill in self.kills if kill.process == name and "random" not in kill.point
            ]
            assert len(points) == count, f"{name} died at {points} only; left: {queue.points()}"
        self.check_no_orphans()

    def _watch(self) -> None:
        seen: Counter[str] = Counter()
        while not self._watching.wait(0.01):
            for name, (queue, _) in list(self._queues.items()):
                for _pid, point in queue.reached()[seen[name] :]:
                    seen[name] += 1
                    self._note(Kill(name, point, self._unfinished(name)))

    def _note(self, kill: Kill) -> Kill:
        with self._lock:
            self.kills.append(kill)
        return kill

    def _all_noted(self) -> bool:
        return all(
            sum(kill.process == name and "random" not in kill.point for kill in self.kills) == count
            for name, (_, count) in self._queues.items()
        )

    def _unfinished(self, process: str) -> str:
        kind, _, rest = process.partition("-")
        if kind == "gateway":
            waiting = self.load.outstanding(rest)
            return f"{waiting} readings not acknowledged" if waiting else ""
        if kind == "relay":
            return self.progress.unanchored()
        if kind == "signer":
            chain = next(chain.chain for chain, name in self.deployment.organisations() if name == rest)
            return self.progress.unanchored(chain)
        return self.progress.untrained()

    # ------------------------------------------------------------------ the end

    def settle(self, timeout_s: float = _SETTLE_S) -> None:
        """Until everything is acknowledged, trained, anchored and held, and every process is running.

        Raises:
            AssertionError: it does not come to that; says what is missing.
        """
        self.load.finish(timeout_s)

        def missing() -> str:
            down = [name for name in self._supervisor.names() if not self.is_up(name)]
            if down:
                return f"{down} down"
            before = self.heights()
            found = self.progress.untrained() or self.progress.unanchored()
            # The chains are looked at one after the other: it counts if none has moved meanwhile.
            return found or ("" if self.heights() == before else "the chains move")

        wait_until(lambda: not missing(), timeout_s, lambda: f"{missing()}\n{self.logs()}")

    def check_idle(self, seconds: float) -> None:
        """Nothing is submitted on any chain for so long.

        Raises:
            AssertionError: a chain has grown.
        """
        before = self.heights()
        time.sleep(seconds)
        assert self.heights() == before, "an idle deployment submits"

    def stop(self) -> None:
        """End every process, and see that none is left over.

        Raises:
            AssertionError: some are.
        """
        self._supervisor.stop(timeout_s=15.0)
        wait_until(lambda: not self.leftovers(), 3.0, lambda: f"left over: {self.leftovers()}")

    def leftovers(self) -> list[str]:
        """Every process, of whatever generation, that was started for this world and is alive."""
        return [f"{pid} {command_line(pid)[:300]!r}" for pid in self._alive()]

    def check_no_orphans(self) -> None:
        """Whoever was killed has left no child behind: each live process belongs to a supervised one.

        Raises:
            AssertionError: one does not.
        """

        def orphans() -> list[int]:
            sessions = {self.pid(name) for name in self._supervisor.names()}
            return [pid for pid in self._alive() if session(pid) not in sessions | {None}]

        wait_until(lambda: not orphans(), 10.0, lambda: f"orphans: {orphans()}")

    def _alive(self) -> list[int]:
        return [pid for pid in live_processes() if has_environment(pid, self._mark)]

    def logs(self) -> str:
        """The end of every process's log."""
        paths = sorted((self.deployment.root.parent / "logs").glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)


def _worker_only(kill: Kill) -> bool:
    if kill.kind != "gateway":
        return False
    return kill.point == "random:worker" or not kill.point.startswith(("random:", "all:"))
