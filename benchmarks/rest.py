"""Readings through REST: a gateway process on the embedded ledger, real HTTP, real signatures.

The gateway runs as in a deployment (``edgeproof serve gateway`` under the supervisor), alone: no anchor
signers, relay or training peers beside it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.device_load import Load, reading_bytes
from benchmarks.errors import MeasurementFailed
from benchmarks.gateway_load import (
    LoadRun,
    RunningGateway,
    recording_transactions,
    running_gateway,
    signature_checks,
)
from benchmarks.measure import latencies, median_row, percentile, rotated
from benchmarks.scale import Say, Scale
from edgeproof.deployment import Deployment, Plan
from edgeproof.setup import make_deployment

__all__ = ["measure_gateway", "measure_rest"]

_EDGE = "edge-a"


def measure_rest(scale: Scale, say: Say) -> dict[str, Any]:
    """``measure_gateway`` over a fresh deployment on the embedded ledger."""
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        deployment = make_deployment(Path(name) / "deployment", Plan.standard(1))
        return measure_gateway(deployment, Path(name), scale, say)


def measure_gateway(deployment: Deployment, folder: Path, scale: Scale, say: Say) -> dict[str, Any]:
    """Single posts beside the empty handler, batches, one post on an idle gateway, many at once.

    Args:
        deployment: whose first edge's gateway is started, alone.
        folder: for the devices' keys.
        scale: sizes.
        say: progress.

    Returns:
        ``empty`` and ``single`` (rows of ``Latencies``), ``single_to_empty`` (median of the ratios of runs
        side by side), ``batches`` (a row a batch size), ``idle`` (latency), ``burst`` (transactions).
    """
    with running_gateway(deployment, _EDGE, folder, scale.devices) as gateway:
        say("warming up")
        gateway.send(Load(scale.connections * 4, 1, scale.connections))
        gateway.send(Load(scale.connections * 4, 0, scale.connections))
        return {
            **_singles(gateway, scale, say),
            "batches": _batches(gateway, scale, say),
            "idle": _idle(gateway, scale, say),
            "burst": _burst(gateway, scale, say),
            "reading_bytes": len(reading_bytes(0)),
            "devices": scale.devices,
            # Once when it comes in, and once by the contract for each organisation that endorses.
            "signature_checks": signature_checks(gateway.ledger),
        }


def _singles(gateway: RunningGateway, scale: Scale, say: Say) -> dict[str, Any]:
    loads = {
        "empty": Load(scale.empty_requests, 0, scale.connections),
        "single": Load(scale.single_requests, 1, scale.connections),
    }
    runs: dict[str, list[LoadRun]] = {name: [] for name in loads}
    per_transaction = []
    for repeat in range(scale.repeats):
        for name in rotated(list(loads), repeat):
            first = gateway.ledger.information().height
            runs[name].append(gateway.send(loads[name]))
            if name == "single":
                per_transaction.append(scale.single_requests / recording_transactions(gateway.ledger, first))
        single, empty = runs["single"][-1].rate, runs["empty"][-1].rate
        say(
            f"single posts {repeat + 1}/{scale.repeats}: {single:.0f}/s, empty handler {empty:.0f}/s, "
            f"ratio {single / empty:.2f}"
        )
    ratios = [single.rate / empty.rate for single, empty in zip(runs["single"], runs["empty"], strict=True)]
    return {
        "connections": scale.connections,
        **{name: _row(of_name, 1) for name, of_name in runs.items()},
        "single_to_empty": statistics.median(ratios),
        "single_readings_per_transaction": statistics.median(per_transaction),
    }


def _batches(gateway: RunningGateway, scale: Scale, say: Say) -> list[dict[str, Any]]:
    runs: dict[int, list[LoadRun]] = {size: [] for size in scale.batch_sizes}
    for repeat in range(scale.repeats):
        for size in scale.batch_sizes:
            count = scale.batch_readings // size
            runs[size].append(gateway.send(Load(count, size, scale.batch_connections)))
            rate = size * runs[size][-1].rate
            say(f"batches {repeat + 1}/{scale.repeats}: of {size}, {rate:.0f} readings/s")
    return [
        {
            "batch": size,
            "connections": scale.batch_connections,
            "readings_per_s": statistics.median(size * run.rate for run in of_size),
            **_row(of_size, size),
        }
        for size, of_size in runs.items()
    ]


def _idle(gateway: RunningGateway, scale: Scale, say: Say) -> dict[str, Any]:
    medians, p95s, worst = [], [], []
    for repeat in range(scale.repeats):
        answers = gateway.send(Load(scale.idle_posts, 1, 1, pause_s=scale.idle_pause_s)).answers
        medians.append(statistics.median(answers.times) * 1000)
        p95s.append(percentile(answers.times, 0.95) * 1000)
        worst.append(max(answers.times) * 1000)
        say(f"idle gateway {repeat + 1}/{scale.repeats}: median {medians[-1]:.1f} ms, p95 {p95s[-1]:.1f} ms")
    return {
        "posts": scale.idle_posts,
        "pause_s": scale.idle_pause_s,
        "median_ms": statistics.median(medians),
        "p95_ms": statistics.median(p95s),
        "max_ms": max(worst),
    }


def _burst(gateway: RunningGateway, scale: Scale, say: Say) -> dict[str, Any]:
    counts, times = [], []
    for repeat in range(scale.repeats):
        first = gateway.ledger.information().height
        answers = gateway.send(Load(scale.burst, 1, scale.burst)).answers
        named = {json.loads(body)["transaction"] for body in answers.bodies}
        counts.append(recording_transactions(gateway.ledger, first))
        if len(named) != counts[-1]:
            raise MeasurementFailed(f"answers name {len(named)} transactions, the chain has {counts[-1]}")
        times.append(max(answers.times) * 1000)
        say(f"{scale.burst} posts at once {repeat + 1}/{scale.repeats}: {counts[-1]} transactions")
    return {
        "posts": scale.burst,
        "transactions": statistics.median(counts),
        "transactions_max": max(counts),
        "last_answer_ms": statistics.median(times),
    }


def _row(runs: list[LoadRun], readings: int) -> dict[str, Any]:
    """Medians over runs, how much of one core each side took, and the gateway's processor time a reading."""
    done = [run.answers for run in runs]
    return {
        **median_row([latencies(one.times, 0, one.seconds) for one in done]),
        "client_cpu_share": statistics.median(one.cpu_s / one.seconds for one in done),
        "gateway_cpu_share": statistics.median(run.gateway_cpu_s / run.answers.seconds for run in runs),
        "gateway_cpu_ms_each": statistics.median(
            run.gateway_cpu_s * 1000 / (len(run.answers.times) * readings) for run in runs
        ),
    }
