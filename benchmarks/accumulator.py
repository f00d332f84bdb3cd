"""``python -m benchmarks.accumulator``: what the accumulator's operations cost, counted and measured.

``cpu_ms``: process CPU milliseconds, medians, one process, in pure gmpy2. ``wall_ms``: the same on the clock,
with worker processes where there is a way for them. ``kernel_cpu_ms`` and ``kernel_wall_ms``: both with the
compiled kernel, where it was built. Beside each operation stand its multiplications, counted exactly, and the
ratio to that count times one Montgomery multiplication as measured in the same run.

Another implementation is timed in the same run, round by round with ours, when a command for it is given:
``--peer NAME=COMMAND``. It is run as ``COMMAND OPERATION COUNT`` and prints the CPU milliseconds of that
operation alone (elements hashed beforehand); any other exit code than 0 means that it has no such operation.
Operations: hash_to_prime (one), accumulate and witness from its generator, accumulate_from_anchor and
witness_from_anchor from any other value (where it does not know these, the plain ones are asked: only a
generator such as 2 makes a difference), all_witnesses, verify_one, verify_batch (one value, with hashing).
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gmpy2

import accumulator as acc
from accumulator.native import NativeGroup
from accumulator.pools import WitnessPool
from benchmarks.accumulator_bounds import bounds
from benchmarks.accumulator_operations import LibraryParameters, Material, Operation, operations, with_counts
from benchmarks.accumulator_page import render
from benchmarks.anchor_signer import measure_anchor
from benchmarks.errors import MeasurementFailed
from benchmarks.machine import machine_facts
from benchmarks.membership_service import measure_chain_length, measure_service
from benchmarks.options import positive
from benchmarks.paper_protocols import measure_paper
from benchmarks.record_stream import measure_stream

__all__ = ["main", "measure", "measure_again"]

_PEER_SECONDS = 600.0


def _peer_ms(command: Sequence[str], operation: str, count: int) -> float | None:
    """What the command says, or None where it has no such operation or took too long.

    Raises:
        MeasurementFailed: it says something else than milliseconds.
    """
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
    if done.returncode:
        return None
    try:
        taken = float(done.stdout)
    except ValueError:
        taken = math.nan
    if not 0 <= taken < math.inf:
        raise MeasurementFailed(f"{shlex.join([*command, operation, str(count)])} says {done.stdout[:200]!r}")
    return taken


def measure(
    repeats: int,
    *,
    small: int = 1000,
    large: int = 10000,
    chain: int = 1_000_000,
    ranges: int = 20,
    peers: dict[str, list[str]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time everything, round after round, so that drift of the machine meets all alike.

    Args:
        repeats: rounds.
        small: elements of the small ranges.
        large: elements of the large range.
        chain: elements of the long chain.
        ranges: that the proof service is asked for.
        peers: command of each other implementation.
        say: told what is being done.

    Returns:
        What is written to build/bench/accumulator.json.
    """
    peers = peers or {}
    facts = machine_facts()
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        folder = Path(name)
        say("elements and tables")
        material = Material.make(small, large, folder)
        native = acc.default_parameters("edge-a")
        with_kernel = isinstance(native.group, NativeGroup)
        made = _with_kernel(material, native)
        _rounds(made, repeats, peers, large, say)
        montgomery = statistics.median(_montgomery_ms(material.parameters) for _ in range(5))
        tables = {
            str(size): statistics.median(_build_ms(material.parameters, size) for _ in range(repeats))
            for size in (small, large)
        }
        say("counting what has no formula")
        made = with_counts(made, material)
        ways = {"library": material.parameters} | ({"kernel": native} if with_kernel else {})
        lengths, service = {}, {}
        for way, parameters in ways.items():
            serving = folder / way / "service"
            serving.mkdir(parents=True)
            say(f"{way}: chains of several lengths")
            lengths[way] = measure_chain_length(parameters, folder / way, (small, chain), small, repeats)
            say(f"{way}: the proof service")
            service[way] = measure_service(parameters, serving, ranges, small, 100 * ranges)
        say("many records of several chains")
        modulus = material.parameters.modulus
        chains = {name: LibraryParameters(modulus, name) for name in ("main", "edge-a", "edge-b", "edge-c")}
        stream = measure_stream(chains, large, material.digests[: large // 10])
        say("an anchor, signed and accepted")
        anchor = measure_anchor(folder, small, ways, repeats)
        say("the paper's protocols")
        paper = measure_paper(repeats)
    result = _result(made, repeats, montgomery, tables, facts) | {
        "chain_length": lengths,
        "proof_service": service,
        "stream": stream,
        "anchor": anchor,
        "paper": paper,
    }
    return result | {"must_reach": bounds(result, small, large)}


def measure_again(
    result: dict[str, Any],
    names: Sequence[str],
    repeats: int,
    *,
    small: int = 1000,
    large: int = 10000,
    peers: dict[str, list[str]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time some operations again, ours and the others', for instance on a machine that has become quiet.

    Args:
        result: of ``measure``, with the same sizes.
        names: operations of its table.
        repeats, small, large, peers, say: as ``measure``.

    Returns:
        The result with these operations' times replaced, and ``again``: when, and under which load.

    Raises:
        MeasurementFailed: there is no such operation.
    """
    if unknown := [name for name in names if name not in result["cpu_ms"]]:
        raise MeasurementFailed(f"there is no {' and no '.join(unknown)}: {', '.join(result['cpu_ms'])}")
    facts = machine_facts()
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        say("elements and tables")
        material = Material.make(small, large, Path(name))
        made = _with_kernel(material, acc.default_parameters("edge-a"))
        made = [operation for operation in made if operation.name in names]
        _rounds(made, repeats, peers or {}, large, say)
    again = {name: {"date": facts["date"], "load_average": facts["load_average"]} for name in names}
    merged = {key: {**result[key], **times} for key, times in _times(made).items()}
    renewed = {**result, **merged, "again": result.get("again", {}) | again}
    renewed |= _ratios(renewed)
    return renewed | {"must_reach": bounds(renewed, small, large)}


def _with_kernel(material: Material, native: acc.Parameters) -> list[Operation]:
    """The operations in pure gmpy2, each with its like by the kernel where there is one."""
    made = operations(material)
    if isinstance(native.group, NativeGroup):
        for operation, same in zip(made, operations(replace(material, parameters=native)), strict=True):
            operation.native = same
    return made


def _rounds(
    made: Sequence[Operation],
    repeats: int,
    peers: dict[str, list[str]],
    large: int,
    say: Callable[[str], None],
) -> None:
    with WitnessPool() as pool:
        pool.warm()
        for number in range(repeats):
            turn = f"round {number + 1} of {repeats}"
            for operation in made:
                say(f"{turn}: {operation.name}")
                operation.sample(pool)
            _ask_peers(made, peers, large if number else None, say)


def _ask_peers(
    made: Sequence[Operation],
    peers: dict[str, list[str]],
    skipped: int | None,
    say: Callable[[str], None],
) -> None:
    """Time the other implementations once; all witnesses of `skipped` elements are not asked for."""
    for what in dict.fromkeys(operation.peer for operation in made if operation.peer):
        if what == ("all_witnesses", skipped):
            continue  # minutes of somebody else's time: once is enough for a ratio
        for name, command in peers.items():
            say(f"{name} {what[0]} {what[1]}")
            taken = _peer_ms(command, *what)
            if taken is None and what[0].endswith("_from_anchor"):
                taken = _peer_ms(command, what[0].removesuffix("_from_anchor"), what[1])
            if taken is not None:
                for operation in made:
                    if operation.peer == what:
                        operation.peers.setdefault(name, []).append(taken)


def _cpu_ms(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return (time.process_time() - started) * 1000


def _build_ms(parameters: acc.Parameters, size: int) -> float:
    return _cpu_ms(lambda: acc.build_table(parameters, size))


def _montgomery_ms(parameters: acc.Parameters) -> float:
    """One Montgomery multiplication: a power that is nothing but squarings, by the bit."""
    bits = 1 << 14
    base, exponent = gmpy2.mpz(parameters.generator), gmpy2.mpz(1) << bits
    return _cpu_ms(lambda: parameters.group._power(base, exponent)) / bits


def _result(
    made: Sequence[Operation],
    repeats: int,
    montgomery: float,
    tables: dict[str, float],
    facts: dict[str, Any],
) -> dict[str, Any]:
    counts = {operation.name: operation.count for operation in made if operation.count}
    result = {
        "modulus_bits": 2048,
        "repeats": repeats,
        "machine": facts,
        **_times(made),
        "pooled": [operation.name for operation in made if operation.pooled],
        "table_build": tables,
        "montgomery_multiplication_ms": montgomery,
        "multiplications": {
            name: {"squarings": count.squarings, "multiplications": count.multiplications}
            for name, count in counts.items()
        },
    }
    return result | _ratios(result)


def _times(made: Sequence[Operation]) -> dict[str, dict[str, Any]]:
    natives = {operation.name: operation.native for operation in made if operation.native}
    return {
        "cpu_ms": {operation.name: statistics.median(operation.cpu) for operation in made},
        "wall_ms": {operation.name: statistics.median(operation.wall) for operation in made},
        "kernel_cpu_ms": {name: statistics.median(native.cpu) for name, native in natives.items()},
        "kernel_wall_ms": {name: statistics.median(native.wall) for name, native in natives.items()},
        "peers_cpu_ms": {
            operation.name: {name: statistics.median(times) for name, times in operation.peers.items()}
            for operation in made
            if operation.peers
        },
    }


def _ratios(result: dict[str, Any]) -> dict[str, Any]:
    cpu, montgomery = result["cpu_ms"], result["montgomery_multiplication_ms"]
    return {
        "ratio_to_counted": {
            name: cpu[name] / ((count["squarings"] + count["multiplications"]) * montgomery)
            for name, count in result["multiplications"].items()
        },
        "ratio_to_reference_powmod": {name: ms / cpu["reference_powmod"] for name, ms in cpu.items()},
        "ratio_to_peers": {
            name: {peer: cpu[name] / ms for peer, ms in times.items()}
            for name, times in result["peers_cpu_ms"].items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the JSON and the page.

    Returns:
        0; 1 when something that was to be measured failed, or what is to be kept cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accumulator", description=__doc__)
    parser.add_argument("--repeats", type=positive, default=5, help="rounds (medians are taken)")
    parser.add_argument("--small", type=positive, default=1000, help="elements of the small ranges")
    parser.add_argument("--large", type=positive, default=10000, help="elements of the large range")
    parser.add_argument("--chain", type=positive, default=1_000_000, help="elements of the long chain")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another implementation"
    )
    parser.add_argument(
        "--only", action="append", metavar="OPERATION", help="time this again, keep the rest (repeatable)"
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
    sizes: dict[str, Any] = {"small": asked.small, "large": asked.large, "peers": peers}
    sizes["say"] = lambda line: print(line, flush=True)
    try:
        if asked.only:
            kept = json.loads(asked.json.read_text())
            result = measure_again(kept, asked.only, asked.repeats, **sizes)
        else:
            result = measure(asked.repeats, chain=asked.chain, **sizes)
    except (MeasurementFailed, OSError, json.JSONDecodeError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(result, indent=1) + "\n")
    asked.page.write_text(render(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
