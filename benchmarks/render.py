"""docs/benchmarks.md from build/bench/*.json: every figure in the page is one of a file's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.markdown import failed, measured, ms, seconds, share, size, table

__all__ = ["render"]

Results = Mapping[str, Mapping[str, Any]]

_HEAD = """# Benchmarks

Written by `make bench`, never by hand. `python -m benchmarks --render` writes it again from
`build/bench/*.json`. Everything runs on the embedded ledger, on one machine, clients included. Figures of
different machines do not compare; ratios within one run do.
"""


def render(results: Results) -> str:
    """The page.

    Args:
        results: by name, what ``python -m benchmarks`` wrote; a part that is missing is left out.
    """
    parts: list[tuple[str, Callable[[Mapping[str, Any]], Iterable[str]]]] = [
        ("table1", _table1),
        ("accumulator_cost", _accumulator_cost),
        ("rest", _rest),
        ("proofs", _proofs),
    ]
    lines = [_HEAD]
    for name, section in parts:
        if name in results:
            lines.extend([*section(results[name]), measured(results[name]), ""])
    return "\n".join(lines)


def _table1(result: Mapping[str, Any]) -> Iterable[str]:
    paper = {row["bytes"]: row for row in result["paper"]}
    yield "## Table I of seed 003: creating transactions"
    yield ""
    yield (
        f"{result['clients']} clients, {result['each']} transactions each, the value on the chain, two "
        "organisations endorse. The paper ran Fabric on eight virtual processors; here clients, endorsers, "
        "orderer and the SQLite file (every block forced to disk) share one Python process."
    )
    yield from table(
        [
            "closed loop",
            "tx/s",
            "avg s",
            "p50 s",
            "p95 s",
            "p99 s",
            "max s",
            "paper tx/s",
            "paper avg s",
            "paper max s",
        ],
        (
            [
                size(row["bytes"]),
                f"{row['tx_per_s']:.0f}",
                *(seconds(row[f"{name}_s"]) for name in ("avg", "p50", "p95", "p99", "max")),
                *(
                    [f"{one['tx_per_s']:.0f}", f"{one['avg_s']:.2f}", f"{one['max_s']:.2f}"]
                    if (one := paper.get(row["bytes"]))
                    else ["", "", ""]
                ),
            ]
            for row in result["closed"]
        ),
    )
    yield (
        "Open loop: transactions come at a fixed rate, whatever the answers; waiting for a free one of 64 "
        "threads counts."
    )
    yield from table(
        [
            "open loop",
            "of the closed loop's rate",
            "offered tx/s",
            "done tx/s",
            "avg s",
            "p50 s",
            "p95 s",
            "p99 s",
            "max s",
        ],
        (
            [
                size(row["bytes"]),
                share(row["share"]),
                f"{row['offered_per_s']:.0f}",
                f"{row['tx_per_s']:.0f}",
                *(seconds(row[f"{name}_s"]) for name in ("avg", "p50", "p95", "p99", "max")),
            ]
            for row in result["open"]
        ),
    )
    yield from failed([*result["closed"], *result["open"]])


def _accumulator_cost(result: Mapping[str, Any]) -> Iterable[str]:
    parts = ("element_and_tree", "hash_to_prime", "accumulate", "signature")
    yield "## The accumulator's cost a transaction"
    yield ""
    yield (
        "What an anchor signer computes, in milliseconds a transaction, by the number of transactions that "
        f"one anchor covers. The paper reports about {result['paper_ms']:.0f} ms a transaction. The "
        "append-only proof is made once an anchor by the relay and checked once by each endorser of the "
        "other chain: it is not in the total."
    )
    yield from table(
        [
            "transactions an anchor",
            "element, tree",
            "hash to prime",
            "accumulate",
            "signature",
            "total",
            "paper",
            "append-only proof, ms an anchor",
            "its check, ms an anchor",
        ],
        (
            [
                str(row["range"]),
                *(ms(row[part]) for part in parts),
                f"**{ms(row['total'])}**",
                f"{result['paper_ms']:.0f}",
                ms(row["append_only_prove"]),
                ms(row["append_only_verify"]),
            ]
            for row in result["rows"]
        ),
    )


def _rest(result: Mapping[str, Any]) -> Iterable[str]:
    single, empty, idle, burst = (result[name] for name in ("single", "empty", "idle", "burst"))
    checks = result["signature_checks"]
    yield "## Readings through REST"
    yield ""
    yield (
        "A gateway process as in a deployment (gunicorn, one worker, 256 threads), real HTTP on loopback, "
        f"{result['devices']} devices with Ed25519 keys, readings of {result['reading_bytes']} B. An answer "
        "means: committed on the chain and durable in the store. The devices are a process of their own that "
        "signs everything before the clock starts and then sends ready bytes over keep-alive connections."
    )
    yield ""
    yield (
        f"Each reading's signature is verified {checks} times: once by the gateway when it comes in, and "
        f"once by the contract for each of the {checks - 1} organisations that endorse. On the embedded "
        "ledger they all endorse inside the gateway's process, so its rate pays for every one of them; on "
        "Fabric each peer pays for its own."
    )
    yield from table(
        [
            "load",
            "connections",
            "requests/s",
            "readings/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "gateway's CPU ms a reading",
            "gateway's core",
            "client's core",
        ],
        [
            _load_row("empty handler (`GET /livez`)", result["connections"], empty, None),
            _load_row("one reading a request", result["connections"], single, single["tx_per_s"]),
            *(
                _load_row(f"batches of {row['batch']}", row["connections"], row, row["readings_per_s"])
                for row in result["batches"]
            ),
        ],
    )
    yield from table(
        ["", "measured", "wanted"],
        [
            [
                "single posts to the empty handler, runs side by side",
                f"{result['single_to_empty']:.2f}",
                "0.5",
            ],
            [
                "readings a second in the best batches",
                f"{max(row['readings_per_s'] for row in result['batches']):.0f}",
                "3,000 (on Fabric)",
            ],
            [f"one post on an idle gateway, median of {idle['posts']}", f"{ms(idle['median_ms'])} ms", ""],
            ["the same, p95", f"{ms(idle['p95_ms'])} ms", "100 ms"],
            [
                f"transactions for {burst['posts']} posts at once, median (most)",
                f"{burst['transactions']:.0f} ({burst['transactions_max']})",
                "20",
            ],
            ["the last of them answered after", f"{ms(burst['last_answer_ms'])} ms", ""],
            [
                f"readings a transaction under {result['connections']} connections",
                f"{result['single_readings_per_transaction']:.0f}",
                "",
            ],
        ],
    )


def _load_row(name: str, connections: int, row: Mapping[str, Any], readings: float | None) -> list[str]:
    return [
        name,
        str(connections),
        f"{row['tx_per_s']:.0f}" if row["tx_per_s"] >= 10 else f"{row['tx_per_s']:.1f}",
        "" if readings is None else f"{readings:.0f}",
        *(ms(row[f"{part}_s"] * 1000) for part in ("p50", "p95", "p99")),
        ms(row["gateway_cpu_ms_each"]),
        share(row["gateway_cpu_share"]),
        share(row["client_cpu_share"]),
    ]


def _proofs(result: Mapping[str, Any]) -> Iterable[str]:
    lengths, many = result["lengths"], result["memberships"]
    yield "## Proofs"
    yield ""
    yield (
        f"One record of a batch, anchored on main and held by another edge; modulus of "
        f"{many['witness_bytes'] * 8} bits. Cold: the prover follows the chains and has proved nothing yet. "
        "Warm: the same question again. Verified first: the first verification of a process, which reads the "
        "trust root too; again: with what that left in memory."
    )
    yield from table(
        ["bundle", "bytes", "prove cold, ms", "prove warm, ms", "verify first, ms", "verify again, ms"],
        (
            [
                row["profile"],
                f"{row['bytes']:.0f}",
                *(
                    ms(row[f"{name}_ms"])
                    for name in ("prove_cold", "prove_warm", "verify_first", "verify_again")
                ),
            ]
            for row in result["bundle"]
        ),
    )
    yield (
        "The cost of a proof against the length of the chain (compact; the record is in the newest anchor's "
        "range):"
    )
    yield from table(
        ["elements of the chain", "elements of the anchor's range", "prove cold, ms", "prove warm, ms"],
        (
            [
                str(row["elements"]),
                str(row["anchor_range"]),
                ms(row["prove_cold_ms"]),
                ms(row["prove_warm_ms"]),
            ]
            for row in lengths
        ),
    )
    growth = lengths[-1]["prove_cold_ms"] / lengths[0]["prove_cold_ms"]
    yield (
        f"A proof on a chain {lengths[-1]['elements'] / lengths[0]['elements']:.0f} times as long takes "
        f"{growth:.2f} times as long."
    )
    yield ""
    yield (
        f"Verifying {many['count']} memberships in one anchor of {many['anchor_range']} elements (all their "
        f"witnesses took {ms(many['all_witnesses_cold_ms'])} ms to make, their aggregate "
        f"{ms(many['aggregate_make_ms'])} ms):"
    )
    yield from table(
        ["way", "ms", "of one by one", "bytes of witnesses"],
        (
            [name, ms(many[key]), f"{many[key] / many['one_by_one_ms']:.2f}", size]
            for name, key, size in (
                ("one by one", "one_by_one_ms", str(many["count"] * many["witness_bytes"])),
                ("batch, random exponents", "batch_ms", str(many["count"] * many["witness_bytes"])),
                ("aggregate, proof of exponentiation", "aggregate_ms", str(2 * many["witness_bytes"])),
                ("of each: the primes' certificates", "certificates_ms", ""),
            )
        ),
    )
