"""``python -m benchmarks.fabric``: measure on real Fabric, write build/bench/fabric.json, render the page."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.accumulator_cost import measure_accumulator_cost
from benchmarks.contract import Put
from benchmarks.errors import MeasurementFailed
from benchmarks.fabric.load import measure_closed, measure_in_flight, measure_open, warm_up
from benchmarks.fabric.network import (
    CHAINCODE,
    PAPER_EDGE,
    TUNED_EDGE,
    BenchNetwork,
    bench_network,
    default_network,
)
from benchmarks.fabric.node import NodeClient, measure_node_ratio
from benchmarks.fabric.render import render
from benchmarks.fabric.whole import measure_bring_up, measure_relay
from benchmarks.machine import machine_facts
from benchmarks.options import options, scale_of, writes_page
from benchmarks.readings import measure_readings
from benchmarks.rest import measure_gateway
from benchmarks.scale import Say, Scale
from benchmarks.table1 import PAPER
from edgeproof.deployment import Deployment
from network.errors import NetworkError
from network.topology import Batch

__all__ = ["PARTS", "main", "measure_edges"]

PARTS = ("table1", "paper", "flight", "node", "rest", "readings", "accumulator", "whole", "bring_up")
_PAGE: Final = Path("docs/benchmarks-fabric.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for.

    Returns:
        0; 1 when something that was to be measured failed.
    """
    asked = options("python -m benchmarks.fabric", __doc__, PARTS, _PAGE).parse_args(arguments)
    scale = scale_of(asked)
    parts = set(asked.only or PARTS)
    # Tiny sizes show that the measurements run; their figures are never beside real ones.
    asked.out = asked.out.resolve()  # the Node client runs in a folder of its own
    path = asked.out / ("fabric-quick.json" if asked.quick else "fabric.json")
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    failed = False
    started = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - started:6.1f} s] {line}", flush=True)

    def keep(part: dict[str, Any]) -> None:
        # After every part: an hour's figures are not lost with the last one. Each has its own circumstances,
        # as parts may be measured on different days.
        found.update(part)
        found.setdefault("measured", {}).update(dict.fromkeys(part, about))
        path.write_text(json.dumps(found, indent=1) + "\n")

    if not asked.render:
        machine = machine_facts()
        about = {"machine": machine, "scale": asdict(scale)}
        say(f"load average {machine['load_average']} on {machine['cores']} cores")
        for measure in (_on_small_edges, _on_the_default):
            try:
                measure(parts, asked.out / "fabric", scale, say, keep)
            except (MeasurementFailed, NetworkError) as error:
                print(f"failed: {error}", file=sys.stderr, flush=True)
                failed = True
    faults = asked.out.parent / "faults" / "fabric.json"
    if faults.exists():
        found["faults"] = json.loads(faults.read_text())
    if writes_page(asked, _PAGE):
        asked.docs.write_text(render(found))
        print(f"{asked.docs} is written")
    return int(failed)


Keep = Callable[[dict[str, Any]], None]


def _on_small_edges(parts: set[str], folder: Path, scale: Scale, say: Say, keep: Keep) -> None:
    """Whatever loads one edge: two organisations, one Raft orderer."""
    if not parts - {"whole", "bring_up"}:
        return
    with bench_network(folder / "edges", say) as bench:
        measure_edges(parts, bench, folder, scale, say, keep)


def measure_edges(
    parts: Collection[str], bench: BenchNetwork, folder: Path, scale: Scale, say: Say, keep: Keep
) -> None:
    """The parts of the benchmark that load one edge, as far as they are asked for.

    Args:
        parts: some of ``PARTS``.
        bench: the network; only ``paper`` uses its second edge.
        folder: for whatever the parts write.
        scale: sizes.
        say: progress.
        keep: takes the results of each part as soon as they are there.
    """
    ledger = bench.ledger(TUNED_EDGE)
    if "table1" in parts:
        warm_up(ledger, scale)
        batch = f"{Batch().timeout} or {Batch().messages}"
        rows = measure_closed(ledger, batch, scale, say)
        closed = {row["bytes"]: row["tx_per_s"] for row in rows}
        paper = [{"bytes": size, **row} for size, row in PAPER.items()]
        keep({"table1": rows, "batch": batch, "paper": paper})
        keep({"open": measure_open(ledger, closed, scale, say)})
    if "paper" in parts:
        paced = bench.ledger(PAPER_EDGE)
        warm_up(paced, scale)
        keep({"table1_paper": measure_closed(paced, "2 s or 10", scale, say)})
    if "flight" in parts:
        warm_up(ledger, scale)
        keep({"in_flight": measure_in_flight(ledger, scale, say)})
    if "node" in parts and NodeClient.is_possible():
        with NodeClient(folder / "node", _node_setting(bench, folder)) as node:
            answer = measure_node_ratio(ledger, node, scale, say)
        keep({"node_ratio": answer["ratio"], "node": answer})
    elif "node" in parts:
        say("there is no Node here: its client is not compared")
        keep({"node_ratio": None, "node": None})
    if "readings" in parts:
        keep({"readings": (answer := _readings(Deployment(bench.network.root), scale, say))})
        keep({"readings_per_s": answer["readings_per_s"]})
    if "rest" in parts:
        keep({"rest": measure_gateway(Deployment(bench.network.root), folder, scale, say)})
    if "accumulator" in parts:
        keep({"accumulator": measure_accumulator_cost(scale, say)})


def _on_the_default(parts: set[str], folder: Path, scale: Scale, say: Say, keep: Keep) -> None:
    """Whatever is about the whole system."""
    if "whole" in parts:
        with default_network(folder / "default", say) as network:
            keep({"relay": measure_relay(Deployment(network.root), scale, say)})
    if "bring_up" in parts:
        keep({"bring_up": measure_bring_up(folder / "default", scale, say)})


def _readings(deployment: Deployment, scale: Scale, say: Say) -> dict[str, Any]:
    batch = max(scale.batch_sizes)
    say(f"readings in batches of {batch}")
    answer = measure_readings(
        deployment,
        TUNED_EDGE,
        batch=batch,
        connections=scale.batch_connections,
        readings=max(scale.batch_readings, batch * scale.batch_connections),
        repeats=scale.repeats,
    )
    say(f"{answer['readings_per_s']:.0f} readings/s")
    return answer


def _node_setting(bench: BenchNetwork, folder: Path) -> dict[str, str]:
    network = bench.network
    msp_id = network.chain(TUNED_EDGE).operator
    endpoint = network.peer(TUNED_EDGE, msp_id)
    roots = folder / "tls-roots.pem"
    roots.write_bytes(endpoint.tls_roots)
    home = bench.client(TUNED_EDGE).absolute()
    return {
        "address": endpoint.address,
        "tls_roots": str(roots.absolute()),
        "server_name": endpoint.server_name,
        "msp_id": msp_id,
        "certificate": str(home / "cert.pem"),
        "key": str(home / "key.pem"),
        "channel": TUNED_EDGE,
        "chaincode": CHAINCODE,
        "function": Put.FUNCTION,
    }


if __name__ == "__main__":
    sys.exit(main())
