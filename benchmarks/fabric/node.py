"""Our client beside Fabric's own Node client: the same network, chaincode, values and calls in flight."""

from __future__ import annotations

import json
import secrets
import shutil
import statistics
import subprocess
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.errors import MeasurementFailed
from benchmarks.measure import latencies, median_row
from benchmarks.puts import run_closed
from benchmarks.scale import Say, Scale
from ledger.port import Ledger

__all__ = ["NodeClient", "measure_node_ratio"]

_SOURCES = Path(__file__).parent / "node_client"
_INSTALL_S = 300
_ANSWER_S = 600.0
"""A run takes seconds."""


class NodeClient(AbstractContextManager["NodeClient"]):
    """A Node process with ``@hyperledger/fabric-gateway``, which runs what it is told.

    Args:
        folder: where the package is installed, once.
        setting: what ``load.mjs`` reads first.

    Raises:
        MeasurementFailed: npm or the client does not work here.
    """

    def __init__(self, folder: Path, setting: dict[str, str]) -> None:
        _install(folder)
        self._process = subprocess.Popen(
            [_program("node"), str(folder / "load.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        if not self._ask(setting).get("ready"):
            raise MeasurementFailed("the Node client does not start")

    @staticmethod
    def is_possible() -> bool:
        """Whether Node and npm are there."""
        return shutil.which("node") is not None and shutil.which("npm") is not None

    def run(self, count: int, size: int, in_flight: int) -> dict[str, Any]:
        """``count`` values of ``size`` bytes; ``times``, ``failed``, ``seconds``, ``cpu_s``."""
        name = f"node-{secrets.token_hex(4)}"
        return self._ask({"name": name, "count": count, "bytes": size, "in_flight": in_flight})

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        limit = threading.Timer(_ANSWER_S, end)
        limit.start()
        line = ""
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            answer = json.loads(line)
            if not isinstance(answer, dict):
                raise ValueError("no object")
        except (OSError, ValueError) as error:
            if late.is_set():
                said = f"nothing came within {_ANSWER_S:.0f} s"
            elif line:
                said = f"it said {line[:200]!r}"
            else:
                said = f"it ended with code {self._process.wait()}"
            self._process.kill()
            self._process.wait()
            raise MeasurementFailed(f"the Node client does not answer: {said}") from error
        finally:
            limit.cancel()
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it may have ended
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def measure_node_ratio(ledger: Ledger, node: NodeClient, scale: Scale, say: Say) -> dict[str, Any]:
    """Throughput of 32-byte values with ten in flight, pair by pair, the order changing each time.

    Returns:
        ``ratio`` (median of ours by Node's, pair by pair), ``ours`` and ``node`` (rows of ``Latencies`` and
        ``cpu_ms_each``, the client's processor time a transaction).
    """
    size, clients, each = min(scale.sizes), scale.clients, scale.each
    runs: dict[str, list[Any]] = {"ours": [], "node": []}
    cpu: dict[str, list[float]] = {"ours": [], "node": []}
    ratios = []
    for pair in range(-1, scale.pairs):  # pair -1 warms both up
        for who in ("ours", "node") if pair % 2 else ("node", "ours"):
            if who == "ours":
                before = time.process_time()
                run, spent = run_closed(ledger, size, clients, each), time.process_time() - before
            else:
                answer = node.run(clients * each, size, clients)
                run = latencies(answer["times"], answer["failed"], answer["seconds"])
                spent = answer["cpu_s"]
            if pair >= 0:
                runs[who].append(run)
                cpu[who].append(spent * 1000 / run.count)
        if pair >= 0:
            ratios.append(runs["ours"][-1].tx_per_s / runs["node"][-1].tx_per_s)
            say(
                f"pair {pair + 1}/{scale.pairs}: ours {runs['ours'][-1].tx_per_s:.0f} tx/s, "
                f"Node's {runs['node'][-1].tx_per_s:.0f}"
            )
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        **{
            who: {**median_row(runs[who]), "cpu_ms_each": statistics.median(cpu[who])}
            for who in ("ours", "node")
        },
    }


def _install(folder: Path) -> None:
    """The package and its dependencies, exactly those of the lock file."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in _SOURCES.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    if (folder / "node_modules" / "@hyperledger" / "fabric-gateway").is_dir():
        return
    command = [_program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S)
    if done.returncode:
        raise MeasurementFailed(f"npm ci: {done.stderr.strip()[-500:]}")


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MeasurementFailed(f"there is no {name}")
    return path
