"""docs/benchmarks-fabric.md from build/bench/fabric.json: every measured figure is one of the file's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.markdown import failed, measured, ms, seconds, share, size, table

__all__ = ["render"]

_HEAD = """# Benchmarks on real Fabric

Written by `make bench-fabric`, never by hand. `python -m benchmarks.fabric --render` writes it again from
`build/bench/fabric.json`. Fresh, warmed networks of their own below `build/bench/fabric/`, real processes
over TLS; orderers, peers, chaincode and clients share one machine. Figures of different machines do not
compare; ratios within one run do.
"""

_LATENCIES = ("avg", "p50", "p95", "p99", "max")


def render(found: Mapping[str, Any]) -> str:
    """The page.

    Args:
        found: what ``python -m benchmarks.fabric`` wrote; a part that is missing is left out.
    """
    lines = [_HEAD]
    for name, section in (
        ("table1", _table1),
        ("table1_paper", _paper),
        ("in_flight", _in_flight),
        ("open", _open),
        ("node", _node),
        ("readings", _readings),
        ("rest", _rest),
        ("accumulator", _accumulator),
        ("relay", _relay),
        ("relay", _memory),
        ("bring_up", _bring_up),
    ):
        if found.get(name):
            lines.extend([*section(found), measured(found["measured"][name]), ""])
    if found.get("faults"):
        lines.extend([*_faults(found["faults"]), ""])
    return "\n".join(lines)


def _faults(found: Mapping[str, Any]) -> Iterable[str]:
    yield "## The longest pause after each fault"
    yield ""
    yield (
        "Measured by `make test-faults`: under load a process of each kind is killed with SIGKILL, and the "
        "link between an edge and the cloud is cut for five seconds. Nobody helps. A pause is the longest "
        "time between two successes of what is named; beside it the longest before the fault. Afterwards "
        "every acknowledged record and transaction is on the chain once, and all peers hold the same blocks."
    )
    yield from table(
        ["what was struck", "what was waited for", "longest pause s", "before it s"],
        [
            [
                f"{one['fault']} (`{one['killed']}`)",
                one["waited"],
                seconds(one["pause_s"]),
                seconds(one["usual_s"]),
            ]
            for part in found.values()
            for one in part["pauses"]
        ],
    )
    answered = ", ".join(f"{part['acknowledged']} in {name}" for name, part in found.items())
    yield f"Acknowledged and found again: {answered}."


def _closed_table(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[str]:
    paper = {row["bytes"]: row for row in found["paper"]}
    heads = ["closed loop", "tx/s", "avg s", "p50 s", "p95 s", "p99 s", "max s"]
    lines = []
    for row in rows:
        line = [
            size(row["bytes"]),
            f"{row['tx_per_s']:.0f}",
            *(seconds(row[f"{name}_s"]) for name in _LATENCIES),
        ]
        if (printed := paper.get(row["bytes"])) is not None:
            line += [
                f"{printed['tx_per_s']:.0f}",
                f"{printed['avg_s']:.2f}",
                f"{row['tx_per_s'] / printed['tx_per_s']:.2f}",
            ]
        else:
            line += ["", "", ""]
        lines.append(line)
    return [*table([*heads, "paper tx/s", "paper avg s", "of the paper's"], lines), *failed(rows)]


def _table1(found: Mapping[str, Any]) -> Iterable[str]:
    scale = found["measured"]["table1"]["scale"]
    yield f"## Table I of seed 003: creating transactions, at our default batches ({found['batch']})"
    yield ""
    yield (
        f"{scale['clients']} clients, {scale['each']} transactions each, one after the other; the value on "
        "the chain, two organisations endorse, the commit is waited for. The paper had eight virtual "
        "processors."
    )
    yield from _closed_table(found["table1"], found)


def _paper(found: Mapping[str, Any]) -> Iterable[str]:
    yield "## Table I at the paper's batches (2 s or 10)"
    yield from _closed_table(found["table1_paper"], found)


def _in_flight(found: Mapping[str, Any]) -> Iterable[str]:
    rows = found["in_flight"]
    yield "## More and more in flight, 32 B"
    yield ""
    yield "A lone client waits for the batch's time-out with every transaction."
    heads = ["in flight", "tx/s", "avg s", "p50 s", "p95 s", "p99 s", "max s"]
    yield from table(
        heads,
        (
            [
                str(row["in_flight"]),
                f"{row['tx_per_s']:.0f}",
                *(seconds(row[f"{name}_s"]) for name in _LATENCIES),
            ]
            for row in rows
        ),
    )
    yield from failed(rows)


def _open(found: Mapping[str, Any]) -> Iterable[str]:
    rows = found["open"]
    yield "## Open loop"
    yield ""
    yield (
        "Transactions come at a fixed rate, whatever the answers; a latency counts from when the transaction "
        "was due, waiting for a free one of 100 threads included."
    )
    heads = ["open loop", "of the closed loop's rate", "offered tx/s", "done tx/s"]
    yield from table(
        [*heads, "avg s", "p50 s", "p95 s", "p99 s", "max s"],
        (
            [
                size(row["bytes"]),
                share(row["share"]),
                f"{row['offered_per_s']:.0f}",
                f"{row['tx_per_s']:.0f}",
                *(seconds(row[f"{name}_s"]) for name in _LATENCIES),
            ]
            for row in rows
        ),
    )
    yield from failed(rows)


def _node(found: Mapping[str, Any]) -> Iterable[str]:
    node, scale = found["node"], found["measured"]["node"]["scale"]
    yield "## Beside Fabric's own Node client"
    yield ""
    yield (
        "`@hyperledger/fabric-gateway` on the same network, chaincode and values (32 B), "
        f"{scale['clients']} in flight, {len(node['ratios'])} pairs of runs, the order changing. Median of "
        f"the ratios, ours by Node's: **{found['node_ratio']:.2f}** "
        f"(from {min(node['ratios']):.2f} to {max(node['ratios']):.2f}; wanted: 0.95)."
    )
    yield from table(
        ["client", "tx/s", "avg s", "p95 s", "client's CPU ms a transaction"],
        (
            [
                name,
                f"{row['tx_per_s']:.0f}",
                seconds(row["avg_s"]),
                seconds(row["p95_s"]),
                ms(row["cpu_ms_each"]),
            ]
            for name, row in (("ours", node["ours"]), ("Node's", node["node"]))
        ),
    )
    yield from failed([node["ours"], node["node"]])


def _readings(found: Mapping[str, Any]) -> Iterable[str]:
    answer = found["readings"]
    yield "## Readings a second through REST batches"
    yield ""
    yield (
        f"**{answer['readings_per_s']:.0f} readings/s** acknowledged as committed (median; wanted: 3,000), "
        f"in batches of {answer['batch']} over {answer['connections']} connections, "
        f"{answer['readings_per_transaction']:.0f} readings a transaction. Each was signed beforehand by its "
        f"device, and its signature is verified {answer['signature_checks']} times: by the gateway when it "
        f"comes in, and by the chaincode of each of the {answer['signature_checks'] - 1} organisations that "
        "endorse."
    )
    shares = sorted(answer["cpu_ms_a_reading"].items(), key=lambda item: -item[1])
    yield from table(
        ["CPU ms a reading", ""], ([name, ms(value)] for name, value in shares if value >= 0.001)
    )


def _rest(found: Mapping[str, Any]) -> Iterable[str]:
    result = found["rest"]
    yield "## One reading a request"
    yield ""
    yield (
        "Median ratio of single posts to requests of an empty handler on the same server, runs side by "
        f"side: **{result['single_to_empty']:.2f}** (wanted: 0.5)."
    )
    yield from table(
        ["load", "requests/s", "p50 ms", "p95 ms", "gateway's CPU ms each"],
        (
            [
                name,
                f"{row['tx_per_s']:.0f}",
                ms(row["p50_s"] * 1000),
                ms(row["p95_s"] * 1000),
                ms(row["gateway_cpu_ms_each"]),
            ]
            for name, row in (
                ("empty handler (`GET /livez`)", result["empty"]),
                ("one reading a request", result["single"]),
            )
        ),
    )


def _accumulator(found: Mapping[str, Any]) -> Iterable[str]:
    yield "## The accumulator's cost a transaction"
    yield ""
    yield "In the anchor signer; hash-to-prime, tree and signature included, the append-only proof apart."
    yield from table(
        ["transactions an anchor", "ms a transaction", "paper"],
        ([str(row["range"]), ms(row["total"]), "100"] for row in found["accumulator"]["rows"]),
    )


def _relay(found: Mapping[str, Any]) -> Iterable[str]:
    relay = found["relay"]
    yield "## The relay's lag"
    yield ""
    yield "On the default topology with every gateway, anchor signer and the relay running, otherwise idle."
    yield from table(
        ["from the commit on an edge", "median s", "max s"],
        (
            [what, seconds(relay[f"{name}_s"]), seconds(relay[f"{name}_max_s"])]
            for name, what in (
                ("type2", "until it is anchored on main (Type-II)"),
                ("type3", "until another edge holds main's anchor (Type-III)"),
            )
        ),
    )


def _bring_up(found: Mapping[str, Any]) -> Iterable[str]:
    result = found["bring_up"]
    yield "## Bringing the default topology up and down"
    yield ""
    yield (
        f"{result['processes']} processes, by the command line; `up` ends after a transaction that two "
        "organisations endorsed on every chain."
    )
    yield from table(
        ["command", "median s", "max s", "wanted s"],
        (
            [what, seconds(result[f"{name}_s"]), seconds(result[f"{name}_max_s"]), wanted]
            for name, what, wanted in (
                ("up", "`up` from nothing", "45"),
                ("again", "`up` over existing state", "45"),
                ("down", "`down`", "5"),
            )
        ),
    )


def _memory(found: Mapping[str, Any]) -> Iterable[str]:
    yield "## Memory of each process"
    yield from table(
        ["process", "resident MiB"],
        ([one["name"], f"{one['memory_mib']:.0f}"] for one in found["relay"]["memory"]),
    )
