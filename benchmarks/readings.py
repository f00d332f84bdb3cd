"""``python -m benchmarks.readings``: readings a second through REST batches, and whose work they are.

Every reading is signed by its device beforehand; one counts when its answer says that it is committed.
Without ``--deployment`` it makes an embedded deployment and removes it; with the folder of a running Fabric
network it goes through that network's peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.device_load import Load
from benchmarks.errors import MeasurementFailed
from benchmarks.gateway_load import (
    LoadRun,
    processor_seconds,
    recording_transactions,
    running_gateway,
    signature_checks,
)
from edgeproof.deployment import Backend, Deployment, Plan
from edgeproof.setup import make_deployment
from network.status import status

__all__ = ["main", "measure_readings"]


def measure_readings(
    deployment: Deployment, edge: str, *, batch: int, connections: int, readings: int, repeats: int
) -> dict[str, Any]:
    """Load one edge's gateway with batches.

    Args:
        deployment: on Fabric its network must run.
        edge: the chain.
        batch: readings a request.
        connections: requests under way at once.
        readings: in each repeat.
        repeats: how often; there is one more to warm up.

    Returns:
        ``readings_per_s`` (median), ``runs`` (of each repeat), ``readings_per_transaction``,
        ``signature_checks`` (of each reading) and ``cpu_ms_a_reading`` by process (median).

    Raises:
        MeasurementFailed: not every reading was answered as recorded.
    """
    load = Load(readings // batch, batch, connections)
    rates, runs = [], []
    with (
        tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as folder,
        running_gateway(deployment, edge, Path(folder), devices=16) as gateway,
    ):
        gateway.send(load)
        first = gateway.ledger.information().height
        for _ in range(repeats):
            pids = _processes(deployment)
            before = {name: processor_seconds(pid) for name, pid in pids.items()}
            run = gateway.send(load)
            spent = {name: processor_seconds(pid) - before[name] for name, pid in pids.items()}
            runs.append(_shares(run, spent, load.requests * batch))
            rates.append(load.requests * batch / run.answers.seconds)
        transactions = recording_transactions(gateway.ledger, first)
        checks = signature_checks(gateway.ledger)
    return {
        "batch": batch,
        "connections": connections,
        "readings_per_s": statistics.median(rates),
        "runs": rates,
        "readings_per_transaction": load.requests * batch * repeats / transactions,
        "signature_checks": checks,
        "cpu_ms_a_reading": {name: statistics.median(run[name] for run in runs) for name in runs[0]},
    }


def _shares(run: LoadRun, spent: Mapping[str, float], count: int) -> dict[str, float]:
    spent = {**spent, "gateway": run.gateway_cpu_s, "devices": run.answers.cpu_s}
    shares = {name: seconds * 1000 / count for name, seconds in spent.items()}
    return {**shares, "all": sum(shares.values())}


def _processes(deployment: Deployment) -> dict[str, int]:
    """The network's processes that run, by name."""
    if deployment.plan.ledger is not Backend.FABRIC:
        return {}
    return {
        one.name: one.pid
        for one in status(deployment.root)
        # The keeper is everybody's parent: its time would be counted with its children's.
        if one.pid is not None and one.kind != "keeper"
    }


@contextmanager
def _deployment(folder: Path | None) -> Iterator[Deployment]:
    if folder is not None:
        yield Deployment(folder)
        return
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        yield make_deployment(Path(name) / "deployment", Plan.standard(1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readings", description=__doc__)
    parser.add_argument("--deployment", type=Path, help="folder of a running Fabric network")
    parser.add_argument("--edge", default="edge-a")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--readings", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args(arguments)
    try:
        with _deployment(asked.deployment) as deployment:
            found = measure_readings(
                deployment,
                asked.edge,
                batch=asked.batch,
                connections=asked.connections,
                readings=asked.readings,
                repeats=asked.repeats,
            )
    except MeasurementFailed as error:
        print(f"readings: {error}", file=sys.stderr)
        return 1
    print(json.dumps({key: _rounded(value) for key, value in found.items()}, indent=1))
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
