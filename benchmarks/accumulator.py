"""``python -m benchmarks.accumulator``: what the accumulator's operations cost, counted and measured.

Process CPU milliseconds, medians, one process; wall milliseconds with worker processes. Beside each operation
stand its multiplications, counted exactly, and the ratio to that count times one Montgomery multiplication as
measured in the same run.

Another implementation is timed in the same run, round by round with ours, when a command for it is given:
``--peer NAME=COMMAND``. It is run as ``COMMAND OPERATION COUNT`` and prints the CPU milliseconds of that
operation alone (elements hashed beforehand); any other exit code than 0 means that it has no such operation.
Operations: hash_to_prime (one), accumulate, witness, all_witnesses, verify_one, verify_batch (one value,
hashing included).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gmpy2

import accumulator as acc
from accumulator.counting import (
    Count,
    accumulate_count,
    all_membership_witnesses_count,
    power_count,
    table_count,
)
from accumulator.planning import Plan, measured_costs
from accumulator.pools import WitnessPool
from accumulator.table_files import load_or_build_table
from benchmarks.machine import machine_facts

__all__ = ["main", "measure", "render"]

_PEER_SECONDS = 600.0


@dataclass
class Operation:
    """One line of the table."""

    name: str
    action: Callable[[], object]
    count: Count | None = None
    """Multiplications modulo N; None where none are made or where they are not of one size."""
    peer: tuple[str, int] | None = None
    """What another implementation is asked for to be compared with it."""
    times: int = 1
    """How often `action` does the operation."""
    prepare: Callable[[], object] | None = None
    """Called before each round, not timed."""
    samples: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """What the operations work on, made beforehand."""

    parameters: acc.Parameters
    small: int
    large: int
    digests: list[bytes]
    primes: list[int]
    offsets: list[int]
    anchor: int
    """Where a later range begins."""
    tables: acc.FixedBaseTable

    @classmethod
    def make(cls, small: int, large: int, folder: Path) -> Material:
        """Elements and a table; not timed."""
        parameters = acc.default_parameters("edge-a")
        digests = [hashlib.sha256(f"benchmark {number}".encode()).digest() for number in range(large)]
        found = [acc.hash_to_prime(digest) for digest in digests]
        primes = [each.prime for each in found]
        anchor = acc.accumulate(parameters, parameters.generator, primes[-2:])
        table = load_or_build_table(parameters, folder, large)
        return cls(parameters, small, large, digests, primes, [each.offset for each in found], anchor, table)


def _operations(material: Material) -> list[Operation]:
    parameters, table = material.parameters, material.tables
    g, anchor = parameters.generator, material.anchor
    source = random.Random(1)
    exponent = gmpy2.mpz(source.getrandbits(256) | 1 << 255)
    group = parameters.group
    made = [Operation("reference_powmod", lambda: [group._power(anchor, exponent) for _ in range(50)],
                      power_count(int(exponent)), times=50)]  # fmt: skip

    sample = material.digests[:50]

    def hash_all() -> None:
        acc.is_prime.cache_clear()
        for digest in sample:
            acc.hash_to_prime(digest)

    def check_all() -> None:
        acc.is_prime.cache_clear()
        for digest, offset in zip(sample, material.offsets, strict=False):
            acc.check_certificate(digest, offset)

    made.append(Operation("hash_to_prime", hash_all, peer=("hash_to_prime", 50), times=50))
    made.append(Operation("check_certificate", check_all, times=50))
    for size in (material.small, material.large):
        primes = material.primes[:size]
        by_table = table_count(table.layout, acc.product(primes))
        made += [
            Operation(
                f"accumulate_{size}", lambda p=primes: acc.accumulate(parameters, g, p, table=table),
                by_table, ("accumulate", size),
            ),
            Operation(
                f"accumulate_{size}_from_anchor", lambda p=primes: acc.accumulate(parameters, anchor, p),
                accumulate_count(primes), ("accumulate", size),
            ),
        ]  # fmt: skip
    everything = material.primes
    made += [
        Operation(
            f"witness_{material.large}",
            lambda: acc.membership_witness(parameters, g, everything, 0, table=table),
            table_count(table.layout, acc.product(everything[1:])),
            ("witness", material.large),
        ),
        Operation(
            f"witness_{material.large}_from_anchor",
            lambda: acc.membership_witness(parameters, anchor, everything, 0),
            accumulate_count(everything[1:]),
            ("witness", material.large),
        ),
    ]
    costs = measured_costs(parameters.modulus.n.bit_length())
    for size in (material.small, material.large):
        primes = material.primes[:size]
        made.append(
            Operation(
                f"all_witnesses_{size}",
                lambda p=primes: acc.all_membership_witnesses(parameters, anchor, p),
                all_membership_witnesses_count(primes, Plan(costs)),
                ("all_witnesses", size),
            )
        )
    small = material.primes[: material.small]
    made.append(
        Operation(
            f"all_witnesses_{material.small}_from_g",
            lambda: acc.all_membership_witnesses(parameters, g, small, table=table),
            peer=("all_witnesses", material.small),
        )
    )
    return made + _verifications(material)


def _verifications(material: Material) -> list[Operation]:
    parameters, anchor = material.parameters, material.anchor
    count = 100
    primes, digests = material.primes[:count], material.digests[:count]
    offsets = material.offsets[:count]
    value = acc.accumulate(parameters, anchor, primes)
    witnesses = acc.all_membership_witnesses(parameters, anchor, primes)
    witness, proof = acc.aggregate(parameters, primes, witnesses, value)
    claims = [acc.MembershipInstance(parameters, value, p, w) for p, w in zip(primes, witnesses, strict=True)]

    def certificates() -> list[int]:
        acc.is_prime.cache_clear()
        return [acc.check_certificate(d, o) for d, o in zip(digests, offsets, strict=True)]

    def one() -> None:
        acc.is_prime.cache_clear()
        for digest, offset, each in zip(digests[:20], offsets, witnesses, strict=False):
            acc.verify_membership(parameters, value, acc.check_certificate(digest, offset), each)

    def one_by_one() -> None:
        for prime, each in zip(primes, witnesses, strict=True):
            acc.verify_membership(parameters, value, prime, each)

    def bare() -> None:
        acc.verify_aggregate(parameters, value, primes, witness, proof)

    def batch() -> None:
        acc.verify_aggregate(parameters, value, certificates(), witness, proof)

    def mixed() -> None:
        certificates()
        acc.verify_batch(claims)

    many = material.primes[: material.small]
    after = acc.accumulate(parameters, anchor, many)
    append_only = acc.prove_append_only(parameters, anchor, many, after, b"benchmark")
    absent = hashlib.sha256(b"absent").digest()
    absence = acc.prove_range_non_membership(parameters, anchor, many, after, absent, b"benchmark")
    return [
        Operation("verify_one", one, peer=("verify_one", 1), times=20),
        Operation("verify_100_one_by_one_bare", one_by_one, prepare=certificates),
        Operation("verify_batch_100", batch, peer=("verify_batch", 100)),
        Operation("verify_batch_100_bare", bare, prepare=certificates),
        Operation("verify_batch_100_many_values", mixed),
        Operation(
            "append_only_prove",
            lambda: acc.prove_append_only(parameters, anchor, many, after, b"benchmark"),
        ),
        Operation(
            "append_only_verify",
            lambda: acc.verify_append_only(parameters, anchor, after, append_only, b"benchmark"),
        ),
        Operation(
            "non_membership_prove",
            lambda: acc.prove_range_non_membership(parameters, anchor, many, after, absent, b"benchmark"),
        ),
        Operation(
            "non_membership_verify",
            lambda: acc.verify_range_non_membership(
                parameters, anchor, after, absent, absence, append_only, b"benchmark"
            ),
        ),
    ]


def _cpu_ms(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return (time.process_time() - started) * 1000


def _peer_ms(command: Sequence[str], operation: str, count: int) -> float | None:
    """What the command says, or None where it has no such operation or took too long."""
    try:
        done = subprocess.run(
            [*command, operation, str(count)],
            capture_output=True,
            text=True,
            timeout=_PEER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout) if done.returncode == 0 else None


def measure(
    repeats: int,
    *,
    small: int = 1000,
    large: int = 10000,
    peers: dict[str, list[str]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time everything, round after round, so that drift of the machine meets all alike.

    Args:
        repeats: rounds.
        small: elements of the small ranges.
        large: elements of the large range.
        peers: command of each other implementation.
        say: told what is being done.

    Returns:
        What is written to build/bench/accumulator.json.
    """
    peers = peers or {}
    facts = machine_facts()
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as folder:
        say("elements and tables")
        material = Material.make(small, large, Path(folder))
        operations = _operations(material)
        for number in range(repeats):
            for operation in operations:
                if operation.prepare is not None:
                    operation.prepare()
                say(f"round {number + 1} of {repeats}: {operation.name}")
                operation.samples.append(_cpu_ms(operation.action) / operation.times)
            asked = dict.fromkeys(operation.peer for operation in operations if operation.peer)
            for what in asked:
                if number and what == ("all_witnesses", large):
                    continue  # minutes of somebody else's time: once is enough for a ratio
                for name, command in peers.items():
                    say(f"round {number + 1} of {repeats}: {name} {what[0]} {what[1]}")
                    taken = _peer_ms(command, *what)
                    if taken is not None:
                        for operation in operations:
                            if operation.peer == what:
                                operation.peers.setdefault(name, []).append(taken)
        montgomery = statistics.median(_montgomery_ms(material.parameters) for _ in range(5))
        tables = {
            str(size): statistics.median(
                _cpu_ms(lambda s=size: acc.build_table(material.parameters, s)) for _ in range(repeats)
            )
            for size in (small, large)
        }
        wall = _wall(material, repeats, say)
    return _result(operations, repeats, montgomery, tables, wall, facts)


def _montgomery_ms(parameters: acc.Parameters) -> float:
    """One Montgomery multiplication: a power that is nothing but squarings, by the bit."""
    bits = 1 << 14
    base, exponent = gmpy2.mpz(parameters.generator), gmpy2.mpz(1) << bits
    return _cpu_ms(lambda: parameters.group._power(base, exponent)) / bits


def _wall(material: Material, repeats: int, say: Callable[[str], None]) -> dict[str, float]:
    """Wall milliseconds of all witnesses with a worker for each processor."""
    wall = {}
    with WitnessPool() as pool:
        pool.warm()
        for size in (material.small, material.large):
            primes = material.primes[:size]
            times = []
            for number in range(repeats):
                say(f"round {number + 1} of {repeats}: all_witnesses_{size} with worker processes")
                started = time.perf_counter()
                pool.all_membership_witnesses(material.parameters, material.anchor, primes)
                times.append((time.perf_counter() - started) * 1000)
            wall[f"all_witnesses_{size}"] = statistics.median(times)
    return wall


def _result(
    operations: Sequence[Operation],
    repeats: int,
    montgomery: float,
    tables: dict[str, float],
    wall: dict[str, float],
    facts: dict[str, Any],
) -> dict[str, Any]:
    cpu = {operation.name: statistics.median(operation.samples) for operation in operations}
    counts = {operation.name: operation.count for operation in operations if operation.count}
    return {
        "modulus_bits": 2048,
        "repeats": repeats,
        "machine": facts,
        "cpu_ms": cpu,
        "wall_ms": wall,
        "table_build_ms": tables,
        "montgomery_multiplication_ms": montgomery,
        "multiplications": {
            name: {"squarings": count.squarings, "multiplications": count.multiplications}
            for name, count in counts.items()
        },
        "ratio_to_counted": {name: cpu[name] / (count.total * montgomery) for name, count in counts.items()},
        "ratio_to_reference_powmod": {name: ms / cpu["reference_powmod"] for name, ms in cpu.items()},
        "peers_cpu_ms": {
            operation.name: {name: statistics.median(times) for name, times in operation.peers.items()}
            for operation in operations
            if operation.peers
        },
        "ratio_to_peers": {
            operation.name: {
                name: cpu[operation.name] / statistics.median(times)
                for name, times in operation.peers.items()
            }
            for operation in operations
            if operation.peers
        },
    }


def render(result: dict[str, Any]) -> str:
    """docs/benchmarks-accumulator.md."""
    facts = result["machine"]
    peers = sorted({name for each in result["peers_cpu_ms"].values() for name in each})
    lines = [
        "# What the accumulator costs",
        "",
        "Written by `make bench-accumulator`; do not edit. "
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, Python {facts['python']}, "
        f"{facts['gmp']}; load average at the start {facts['load_average']}. |N| = {result['modulus_bits']}, "
        f"256-bit primes, medians of {result['repeats']}, process CPU milliseconds in one process.",
        "",
        "*Counted*: squarings and multiplications modulo N by the algorithm's formula, asserted in the tests "
        "(a library power by square-and-multiply: the library's windows take fewer, hence ratios below 1). "
        "*x counted*: the time over that count times one Montgomery multiplication "
        f"({result['montgomery_multiplication_ms'] * 1000:.2f} µs in this run). *x powmod*: over one power "
        "with a 256-bit exponent.",
        "",
        "| operation | ms | x powmod | counted | x counted |" + "".join(f" {p} ms | ratio |" for p in peers),
        "|---|---:|---:|---:|---:|" + "---:|---:|" * len(peers),
    ]
    for name, ms in result["cpu_ms"].items():
        count = result["multiplications"].get(name)
        cells = [
            f"`{name}`",
            _figure(ms),
            _figure(result["ratio_to_reference_powmod"][name]),
            f"{count['squarings'] + count['multiplications']:,}" if count else "",
            _figure(result["ratio_to_counted"][name]) if count else "",
        ]
        for peer in peers:
            taken = result["peers_cpu_ms"].get(name, {}).get(peer)
            ratio = result["ratio_to_peers"].get(name, {}).get(peer)
            cells += ["", ""] if taken is None else [_figure(taken), _figure(ratio)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "`accumulate` and `witness` without `_from_anchor` start at the generator, with "
        "a table; a range that begins at an anchor has none. `all_witnesses` begin at an anchor. "
        "`verify_batch_100` is one value: certificates, one aggregate, one proof of exponentiation; `_bare` "
        "leaves the certificates out; `_many_values` is by random exponents, certificates included. "
        "`append_only` and `non_membership` are of the smaller range.",
        "",
        "With a worker process for each processor, wall milliseconds: "
        + ", ".join(f"`{name}` {_figure(ms)}" for name, ms in result["wall_ms"].items())
        + " (they mean little where the load average above says that something else ran too)"
        + ". Building the generator's table once, CPU milliseconds: "
        + ", ".join(f"for {size} elements {_figure(ms)}" for size, ms in result["table_build_ms"].items())
        + ".",
        "",
    ]
    if peers:
        lines += [
            "Other implementations were built by whoever ran this and timed in the same run, round by round: "
            "one thread, elements hashed beforehand but for `verify_batch_100`, which hashes; all witnesses "
            "of the larger range once. Their `accumulate` and `witness` include the product of the primes as "
            "they form it.",
            "",
        ]
    return "\n".join(lines)


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the JSON and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accumulator", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (medians are taken)")
    parser.add_argument("--small", type=int, default=1000, help="elements of the small ranges")
    parser.add_argument("--large", type=int, default=10000, help="elements of the large range")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another implementation"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench/accumulator.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks-accumulator.md"))
    asked = parser.parse_args(arguments)
    peers = {}
    for each in asked.peer:
        name, equals, command = each.partition("=")
        if not equals or not command:
            parser.error(f"--peer takes NAME=COMMAND, not {each!r}")
        peers[name] = shlex.split(command)
    result = measure(
        asked.repeats,
        small=asked.small,
        large=asked.large,
        peers=peers,
        say=lambda line: print(line, flush=True),
    )
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(result, indent=1) + "\n")
    asked.page.write_text(render(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
