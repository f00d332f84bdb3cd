"""``python -m benchmarks.accumulator``: what the accumulator's operations cost, counted and measured.

Process CPU milliseconds, medians, one process; wall milliseconds with worker processes. Beside each operation
stand its multiplications, counted exactly, and the ratio to that count times one Montgomery multiplication as
measured in the same run.

Another implementation is timed in the same run, round by round with ours, when a command for it is given:
``--peer NAME=COMMAND``. It is run as ``COMMAND OPERATION COUNT`` and prints the CPU milliseconds of that
operation alone (elements hashed beforehand); any other exit code than 0 means that it has no such operation.
Operations: hash_to_prime (one), accumulate and witness from its generator, accumulate_from_anchor and
witness_from_anchor from any other value (where it does not know these, the plain ones are asked: only a
generator such as 2 makes a difference), all_witnesses, verify_one, verify_batch (one value, with hashing).
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
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
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
from accumulator.group import Group
from accumulator.native import NativeGroup
from accumulator.planning import Plan, measured_costs
from accumulator.pools import WitnessPool
from accumulator.table_files import load_or_build_table
from benchmarks.machine import machine_facts
from benchmarks.membership_service import measure_chain_length, measure_service
from benchmarks.paper_protocols import measure_paper, render_paper

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
    native: Callable[[], object] | None = None
    """The same with powers by the kernel."""
    samples: list[float] = field(default_factory=list)
    native_samples: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)


class LibraryParameters(acc.Parameters):
    """Parameters whose arithmetic is the library's, whether or not a kernel is installed."""

    @cached_property
    def group(self) -> Group:
        """The group over gmpy2."""
        return Group(self.modulus.n)


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
        parameters = LibraryParameters(acc.default_parameters("edge-a").modulus, "edge-a")
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
                f"accumulate_{size}", partial(acc.accumulate, parameters, g, primes, table=table),
                by_table, ("accumulate", size),
            ),
            Operation(
                f"accumulate_{size}_from_anchor", partial(acc.accumulate, parameters, anchor, primes),
                accumulate_count(primes), ("accumulate_from_anchor", size),
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
            ("witness_from_anchor", material.large),
        ),
    ]
    costs = measured_costs(parameters.group)
    for size in (material.small, material.large):
        primes = material.primes[:size]
        made.append(
            Operation(
                f"all_witnesses_{size}",
                partial(acc.all_membership_witnesses, parameters, anchor, primes),
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
    chain: int = 1_000_000,
    peers: dict[str, list[str]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time everything, round after round, so that drift of the machine meets all alike.

    Args:
        repeats: rounds.
        small: elements of the small ranges.
        large: elements of the large range.
        chain: elements of the long chain.
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
        native = acc.default_parameters("edge-a")
        if isinstance(native.group, NativeGroup):
            same = _operations(replace(material, parameters=native))
            for operation, by_kernel in zip(operations, same, strict=True):
                operation.native = by_kernel.action
        for number in range(repeats):
            for operation in operations:
                if operation.prepare is not None:
                    operation.prepare()
                say(f"round {number + 1} of {repeats}: {operation.name}")
                operation.samples.append(_cpu_ms(operation.action) / operation.times)
                if operation.native is not None:
                    if operation.prepare is not None:
                        operation.prepare()
                    operation.native_samples.append(_cpu_ms(operation.native) / operation.times)
            asked = dict.fromkeys(operation.peer for operation in operations if operation.peer)
            for what in asked:
                if number and what == ("all_witnesses", large):
                    continue  # minutes of somebody else's time: once is enough for a ratio
                for name, command in peers.items():
                    say(f"round {number + 1} of {repeats}: {name} {what[0]} {what[1]}")
                    taken = _peer_ms(command, *what)
                    if taken is None and what[0].endswith("_from_anchor"):
                        taken = _peer_ms(command, what[0].removesuffix("_from_anchor"), what[1])
                    if taken is not None:
                        for operation in operations:
                            if operation.peer == what:
                                operation.peers.setdefault(name, []).append(taken)
        montgomery = statistics.median(_montgomery_ms(material.parameters) for _ in range(5))
        tables = {
            str(size): statistics.median(
                _cpu_ms(partial(acc.build_table, material.parameters, size)) for _ in range(repeats)
            )
            for size in (small, large)
        }
        wall = {"library": _wall(material, repeats, say)}
        if isinstance(native.group, NativeGroup):
            wall["kernel"] = _wall(replace(material, parameters=native), repeats, say)
        say("chains of several lengths")
        lengths = measure_chain_length(native, Path(folder), (small, chain), small, repeats)
        say("the proof service")
        service = measure_service(native, Path(folder), 20, small, 2 * small)
        say("the paper's protocols")
        paper = measure_paper(repeats)
    return _result(operations, repeats, montgomery, tables, facts) | {
        "wall_ms": wall,
        "chain_length": lengths,
        "proof_service": service,
        "paper": paper,
    }


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
    facts: dict[str, Any],
) -> dict[str, Any]:
    cpu = {operation.name: statistics.median(operation.samples) for operation in operations}
    kernel = {
        operation.name: statistics.median(operation.native_samples)
        for operation in operations
        if operation.native_samples
    }
    counts = {operation.name: operation.count for operation in operations if operation.count}
    return {
        "modulus_bits": 2048,
        "repeats": repeats,
        "machine": facts,
        "cpu_ms": cpu,
        "kernel_cpu_ms": kernel,
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
    facts, kernel = result["machine"], result["kernel_cpu_ms"]
    peers = sorted({name for each in result["peers_cpu_ms"].values() for name in each})
    titles = [
        "operation",
        "ms",
        "x powmod",
        "counted",
        "x counted",
        *(["kernel ms", "times"] if kernel else []),
    ]
    for peer in peers:
        titles += [f"{peer} ms", "ratio", *(["kernel ratio"] if kernel else [])]
    lines = [
        "# What the accumulator costs",
        "",
        "Written by `make bench-accumulator`; do not edit. "
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, Python {facts['python']}, "
        f"{facts['gmp']}; load average at the start {facts['load_average']}. |N| = {result['modulus_bits']}, "
        f"256-bit primes, medians of {result['repeats']}, process CPU milliseconds in one process.",
        "",
        "*ms*: in pure gmpy2. *Counted*: squarings and multiplications modulo N by the algorithm's formula, "
        "asserted in the tests (a library power by square-and-multiply: the library's windows take fewer, "
        "hence ratios below 1). *x counted*: the time over that count times one Montgomery multiplication "
        f"({result['montgomery_multiplication_ms'] * 1000:.2f} µs in this run). *x powmod*: over one power "
        "with a 256-bit exponent. *Kernel*: with the optional compiled kernel "
        "([decision 13](decisions/0013-an-optional-kernel-for-powers.md)), and how many times faster. "
        "*Ratio*: ours over theirs.",
        "",
        "| " + " | ".join(titles) + " |",
        "|---|" + "---:|" * (len(titles) - 1),
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
        if kernel:
            cells += [_figure(kernel[name]), _figure(ms / kernel[name])]
        for peer in peers:
            taken = result["peers_cpu_ms"].get(name, {}).get(peer)
            cells += ["", ""] if taken is None else [_figure(taken), _figure(ms / taken)]
            if kernel:
                cells.append("" if taken is None else _figure(kernel[name] / taken))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *_notes(result, peers), "", *render_paper(result["paper"]), ""]
    return "\n".join(lines)


def _notes(result: dict[str, Any], peers: Sequence[str]) -> list[str]:
    length, service = result["chain_length"], result["proof_service"]
    shortest, longest = length["cpu_ms"]
    lines = [
        "`accumulate` and `witness` without `_from_anchor` start at the generator, with "
        "a table; a range that begins at an anchor has none. `all_witnesses` begin at an anchor. "
        "`verify_batch_100` is one value: certificates, one aggregate, one proof of exponentiation; `_bare` "
        "leaves the certificates out; `_many_values` is by random exponents, certificates included. "
        "`append_only` and `non_membership` are of the smaller range.",
        "",
        "With a worker process for each processor, wall milliseconds (they mean little where the load "
        "average above says that something else ran too): "
        + "; ".join(
            f"{way}: " + ", ".join(f"`{name}` {_figure(ms)}" for name, ms in times.items())
            for way, times in result["wall_ms"].items()
        )
        + ". Building the generator's table once, CPU milliseconds: "
        + ", ".join(f"for {size} elements {_figure(ms)}" for size, ms in result["table_build_ms"].items())
        + ".",
        "",
        "## A long chain, and many requests",
        "",
        f"One membership witness from the stored anchor value, in the newest range of {length['range']:,} "
        f"elements, with nothing kept: {_figure(length['cpu_ms'][shortest])} ms in a chain of "
        f"{int(shortest):,} elements, {_figure(length['cpu_ms'][longest])} ms in one of {int(longest):,} "
        f"(an index of {_figure(length['file_mib'][longest])} MiB): {length['ratio']:.3f} times as much.",
        "",
        f"The gateway's proof service, {service['clients']} clients at once, {service['requests']:,} "
        f"requests for random elements of {service['ranges']} ranges of {service['range']:,}: "
        f"{_figure(service['cold']['per_s'])} a second "
        f"({_figure(service['cold']['cpu_ms_each'])} ms of CPU each) while all witnesses have to be made, "
        f"{_figure(service['warm']['per_s'])} a second "
        f"({_figure(service['warm']['cpu_ms_each'])} ms) once they are kept; HTTP not included.",
    ]
    if peers:
        lines += [
            "",
            "Other implementations were built by whoever ran this and timed in the same run, round by round: "
            "one thread, elements hashed beforehand but for `verify_batch_100`, which hashes; all witnesses "
            "of the larger range once. Their `accumulate` and `witness` include the product of the primes as "
            "they form it. From its generator 2, cambrian's power multiplies by shifting; `_from_anchor` it "
            "begins at another value, as every range but the first does.",
        ]
    return lines


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the JSON and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accumulator", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (medians are taken)")
    parser.add_argument("--small", type=int, default=1000, help="elements of the small ranges")
    parser.add_argument("--large", type=int, default=10000, help="elements of the large range")
    parser.add_argument("--chain", type=int, default=1_000_000, help="elements of the long chain")
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
        chain=asked.chain,
        peers=peers,
        say=lambda line: print(line, flush=True),
    )
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(result, indent=1) + "\n")
    asked.page.write_text(render(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
