"""The page that the accumulator's benchmark writes: docs/benchmarks-accumulator.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.markdown import table
from benchmarks.paper_protocols import render_paper

__all__ = ["render"]


def render(result: Mapping[str, Any]) -> str:
    """docs/benchmarks-accumulator.md."""
    facts = result["machine"]
    peers = sorted({name for each in result["peers_cpu_ms"].values() for name in each})
    lines = [
        "# What the accumulator costs",
        "",
        "Written by `make bench-accumulator`; do not edit. "
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, Python {facts['python']}, "
        f"{facts['gmp']}; load average at the start {facts['load_average']}. |N| = {result['modulus_bits']}, "
        f"256-bit primes, medians of {result['repeats']}, process CPU milliseconds in one process."
        + "".join(
            f" `{name}` was timed again, beside the others, at load average {found['load_average']}."
            for name, found in result.get("again", {}).items()
        ),
        "",
        "*ms*: in pure gmpy2. *Kernel*: with the optional compiled kernel "
        "([decision 13](decisions/0013-an-optional-kernel-for-powers.md)), and how many times faster. "
        "*Counted*: squarings and multiplications modulo N, exact (a library power by square-and-multiply: "
        "the library's windows take fewer, hence ratios below 1); none where nothing is computed modulo N. "
        "*x counted*: the time over that count times one Montgomery multiplication "
        f"({result['montgomery_multiplication_ms'] * 1000:.2f} µs in this run). *x powmod*: over one power "
        "with a 256-bit exponent. *Ratio*: ours over theirs.",
        *_operations(result, peers),
        *_notes(result, peers),
        "",
        "## What must be reached",
        "",
        *_bounds(result["must_reach"]),
        "## All processors",
        "",
        *_wall(result),
        "## A long chain, and many requests",
        "",
        *_service(result),
        "",
        "## Many records of several chains",
        "",
        _stream(result["stream"]),
        "",
        "## Append-only proofs and anchors",
        "",
        *_anchor(result),
        "",
        *render_paper(result["paper"]),
        "",
    ]
    return "\n".join(lines)


def _operations(result: Mapping[str, Any], peers: Sequence[str]) -> list[str]:
    kernel = result["kernel_cpu_ms"]
    titles = ["operation", "ms", "x powmod", "counted", "x counted"]
    titles += ["kernel ms", "times"] if kernel else []
    for peer in peers:
        titles += [f"{peer} ms", "ratio", *(["kernel ratio"] if kernel else [])]
    rows = []
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
        rows.append(cells)
    return table(titles, rows)


def _notes(result: Mapping[str, Any], peers: Sequence[str]) -> list[str]:
    lines = [
        "`accumulate` and `witness` without `_from_anchor` start at the generator, with "
        "a table; a range that begins at an anchor has none. `all_witnesses` begin at an anchor. "
        "`verify_batch_100` is one value: certificates, one aggregate, one proof of exponentiation; `_bare` "
        "leaves the certificates out; `_many_values` is by random exponents, certificates included. "
        "`append_only` and `non_membership` are of the smaller range. Times with certificates hold "
        "primality tests of 256-bit numbers, which no count has. Building the generator's table once, CPU "
        "milliseconds: "
        + ", ".join(f"for {size} elements {_figure(ms)}" for size, ms in result["table_build"].items())
        + "."
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


def _bounds(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["On the same work, on the same machine, in this run."]
    lines += table(
        ["", "bound", "pure gmpy2", "", "with the kernel", ""],
        [
            [
                row["what"],
                f"{'<' if row['strict'] else '≤'} {row['limit']:g}",
                *_judged(row["library"]),
                *_judged(row["kernel"]),
            ]
            for row in rows
        ],
    )
    for row in rows:
        library, kernel = row["library"], row["kernel"]
        if library["met"] is False or kernel["met"] is False:
            lines.append(
                f"- {row['what']}: {_told(library)} in pure gmpy2"
                + (f", {_told(kernel)} with the kernel." if kernel["met"] is not None else ".")
            )
    return [*lines, ""] if lines[-1] else lines


def _judged(measured: Mapping[str, Any]) -> list[str]:
    if measured["value"] is None:
        return ["", ""]
    return [_figure(measured["value"]), "met" if measured["met"] else "**missed**"]


def _told(measured: Mapping[str, Any]) -> str:
    if measured["value"] is None:
        return "not asked"
    return f"{'met' if measured['met'] else '**missed**'} ({_figure(measured['value'])})"


def _wall(result: Mapping[str, Any]) -> list[str]:
    kernel = bool(result["kernel_wall_ms"])
    lines = [
        "Milliseconds on the clock with a worker process for each processor, beside the CPU milliseconds of "
        "one process (they mean little where the load average above says that something else ran too). "
        "Everything else runs in one process; its wall times are in the JSON file.",
    ]
    heads = ["operation", "one process, CPU", "all processors, wall"]
    heads += ["kernel, one process, CPU", "kernel, all processors, wall"] if kernel else []
    rows = []
    for name in result["pooled"]:
        keys = ["cpu_ms", "wall_ms", *(["kernel_cpu_ms", "kernel_wall_ms"] if kernel else [])]
        rows.append([f"`{name}`", *(_figure(result[key][name]) for key in keys)])
    return [*lines, *table(heads, rows)]


def _service(result: Mapping[str, Any]) -> list[str]:
    lengths, services = result["chain_length"], result["proof_service"]
    first = next(iter(lengths.values()))
    shortest, longest = first["cpu_ms"]
    lines = [
        f"One membership witness from the stored anchor value, in the newest range of {first['range']:,} "
        f"elements, with nothing kept, in a chain of {int(shortest):,} elements and in one of "
        f"{int(longest):,} (an index of {_figure(first['file_mib'][longest])} MiB); CPU milliseconds.",
        *table(
            ["", f"{int(shortest):,}", f"{int(longest):,}", "times as much"],
            [
                [
                    _WAYS[way],
                    _figure(each["cpu_ms"][shortest]),
                    _figure(each["cpu_ms"][longest]),
                    f"{each['ratio']:.3f}",
                ]
                for way, each in lengths.items()
            ],
        ),
    ]
    service = next(iter(services.values()))
    lines += [
        f"The gateway's proof service, {service['clients']} clients at once, {service['requests']:,} "
        f"requests for random elements of {service['ranges']} ranges of {service['range']:,}: cold, while "
        "all witnesses have to be made, and warm, once they are kept. HTTP is not included.",
        *table(
            ["", "cold, a second", "CPU ms each", "warm, a second", "CPU ms each"],
            [
                [
                    _WAYS[way],
                    *(
                        _figure(each[state][key])
                        for state in ("cold", "warm")
                        for key in ("per_s", "cpu_ms_each")
                    ),
                ]
                for way, each in services.items()
            ],
        ),
    ]
    return lines[:-1] if not lines[-1] else lines


def _stream(stream: Mapping[str, Any]) -> str:
    return (
        f"`verify_stream` over {stream['claims']:,} claims of {stream['chains']} chains in turn, of elements "
        "that come again (a prime is tested once), in pure gmpy2: "
        f"{_figure(stream['cpu_ms_each'])} ms of CPU time each where all hold; "
        f"{_figure(stream['false_cpu_ms_each'])} ms where {stream['false']} do not, each of which it names. "
        f"It never takes more than {_figure(stream['peak_mib'])} MiB, however many there are."
    )


def _anchor(result: Mapping[str, Any]) -> list[str]:
    anchor = result["anchor"]
    verify, accept = anchor["append_only_verify_ms"], anchor["accept_ms"]
    # The contract runs with the kernel where there is one.
    share = verify.get("kernel", verify["library"]) / accept
    return [
        "An append-only proof shows that one accumulator value is a power of an earlier one by an exponent "
        "that its maker knows: whatever had a membership witness before still has one. It does not show how "
        "many elements came, in what order, or that they are prime representatives: number, order and "
        "completeness come from the signed tree head of the same statement. Whoever takes the elements from "
        "the chain itself recomputes the value.",
        "",
        "The relay makes one proof an anchor (`append_only_prove`); each endorser of the receiving chain "
        "checks it in the contract. There, "
        f"one execution of `interlock:accept` took {_figure(accept)} ms of CPU time, "
        f"signatures, continuity and the check included; the check is {share:.0%} of it: "
        + " and ".join(f"{_figure(ms)} ms {_IN[way]}" for way, ms in verify.items())
        + ", whatever the length of the range.",
        "",
        f"The anchor signer, over a chain of {anchor['elements']:,} elements: reading and decoding every "
        "block, element digests, tree, hash to prime, accumulator value and signature take "
        + " and ".join(
            f"{_figure(ms)} ms a transaction {_IN[way]}" for way, ms in anchor["signer_ms"].items()
        )
        + " (seed 003: about 100 ms). By part and size of the anchor: [benchmarks](benchmarks.md).",
    ]


_WAYS = {"library": "pure gmpy2", "kernel": "with the kernel"}
_IN = {"library": "in pure gmpy2", "kernel": "with the kernel"}


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
