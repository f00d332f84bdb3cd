"""Kills of a real network's processes while transactions flow, and how long each keeps whom waiting."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fleet_processes import wait_until

from chaincode.api import AcceptAnchor, Organisation, RegisterOrganisation
from edgeproof.deployment import Deployment
from edgeproof.wiring import Parts
from identity import Role
from ledger.errors import LedgerError, UnknownOutcome
from ledger.port import Ledger
from network import Network
from network.status import status
from protocol.elements import views
from protocol.encodings import decode

__all__ = [
    "CloudLoad",
    "Pause",
    "anchor_times",
    "keep_pauses",
    "kill_node",
    "leader_and_followers",
    "longest_pause",
    "under",
    "wait_running",
]


@dataclass(frozen=True)
class Pause:
    """What one fault did."""

    fault: str
    killed: str
    waited: str
    """Whose pause it is."""
    pause_s: float
    """Longest time without success that touches the time after the fault."""
    usual_s: float
    """Longest time without success in the calm before it."""

    def row(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def keep_pauses(root: Path, run: str, found: dict[str, object], pauses: Sequence[Pause]) -> None:
    """Write what a run of faults found into the checkout's ``build/faults/fabric.json``."""
    file = root / "build" / "faults" / "fabric.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept[run] = {**found, "pauses": [pause.row() for pause in pauses]}
    file.write_text(json.dumps(kept, indent=1) + "\n")


def anchor_times(main: Ledger, source: str | None = None) -> list[float]:
    """When main accepted anchors (of one chain), on ``time.monotonic``, by the transactions' own times."""
    shift = time.monotonic() - time.time()
    return [
        view.timestamp_ms / 1000 + shift
        for block in main.blocks(0)
        for view in views(block)
        if view.code == 0
        and view.function == AcceptAnchor.FUNCTION
        and (source is None or decode(AcceptAnchor, view.argument).signed.statement.chain == source)
    ]


class CloudLoad:
    """Transactions on main, several at once, each repeated until its outcome is known.

    Attributes:
        receipts: ids of the transactions that were said to be committed.
        times: when, on ``time.monotonic``.
    """

    def __init__(self, parts: Parts, workers: int = 4) -> None:
        main = parts.deployment.plan.main
        self._ledger = parts.ledger(main.chain, main.operator, Role.ADMIN)
        key = parts.deployment.owner_key(main.operator).spki
        self._message = RegisterOrganisation(Organisation(main.operator, main.operator, key))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.receipts: list[str] = []
        self.times: list[float] = []
        self.errors: list[LedgerError] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(workers)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                receipt = self._ledger.submit(self._message)
            except UnknownOutcome as error:  # looked up when all is over
                with self._lock:
                    self.errors.append(error)
            except LedgerError as error:
                with self._lock:
                    self.errors.append(error)
                time.sleep(0.05)
            else:
                with self._lock:
                    self.receipts.append(receipt.transaction)
                    self.times.append(time.monotonic())


def kill_node(deployment: Deployment, name: str) -> int:
    """SIGKILL one process of the network; its process id."""
    (pid,) = [one.pid for one in status(deployment.root) if one.name == name and one.pid is not None]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_running(deployment: Deployment, name: str, other_than: int, timeout_s: float = 30.0) -> None:
    """Until the process runs again, under another id, without anybody's help."""

    def again() -> bool:
        return any(
            one.name == name and one.healthy and one.pid not in (None, other_than)
            for one in status(deployment.root)
        )

    wait_until(again, timeout_s, f"{name} does not come back")


def leader_and_followers(network: Network, chain: str) -> tuple[str, list[str]]:
    """Names of a SmartBFT chain's orderers, by what they say of themselves."""
    leaders, followers = [], []
    for node in network.topology.select(chain=chain, kind="orderer"):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{node.ports['operations']}/metrics", timeout=5
        ) as answer:
            said = re.search(
                rf'^consensus_BFT_is_leader{{channel="{chain}"}} (\d)', answer.read().decode(), re.MULTILINE
            )
        (leaders if said is not None and said[1] == "1" else followers).append(node.name)
    assert len(leaders) == 1, f"leaders of {chain}: {leaders}"
    return leaders[0], followers


def longest_pause(times: Sequence[float], start: float, end: float) -> float:
    """Longest stretch between two successes that touches ``start`` to ``end``, in seconds."""
    inside = sorted(times)
    before = [moment for moment in inside if moment <= start][-1:] or [start]
    after = [moment for moment in inside if moment >= end][:1] or [end]
    marks = [*before, *(moment for moment in inside if start < moment < end), *after]
    return max(later - earlier for earlier, later in itertools.pairwise(marks))


@contextlib.contextmanager
def under(load: CloudLoad) -> Iterator[None]:
    """While the load runs."""
    load.begin()
    try:
        yield
    finally:
        load.finish()
