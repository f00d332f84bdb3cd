"""Protocol 2 and Protocol 3 of seed 003: the arithmetic, exact counts, times beside what supersedes them."""

from __future__ import annotations

import random
from typing import Any, Final

import accumulator as acc
from accumulator import paper
from accumulator.counting import (
    Count,
    all_membership_witnesses_count,
    each_membership_witness_count,
    protocol3_claimed,
    protocol3_counted,
    protocol3_exact,
)
from accumulator.group import Group
from accumulator.planning import TYPICAL, Plan
from benchmarks.measure import median_cpu_ms

__all__ = ["measure_paper", "render_paper"]

_PROOFS: Final = 8
_BATCH: Final = 32
_LATER: Final = 32
_PRINTED: Final = 2034


def measure_paper(repeats: int) -> dict[str, Any]:
    """Counts and CPU milliseconds, in pure gmpy2 and plain integers, over the RSA-2048 challenge."""
    parameters = acc.default_parameters("edge-a")
    parameters.__dict__["group"] = Group(parameters.modulus.n)  # the kernel would be compared with plain pow
    return {
        "protocol_2": _protocol_2(parameters, repeats),
        "protocol_3": [_protocol_3(parameters, bits, repeats) for bits in (256, 2048)],
    }


def _protocol_2(parameters: acc.Parameters, repeats: int) -> dict[str, Any]:
    """All proofs of a range of 32 elements that 32 later ones follow."""
    n, before = parameters.modulus.n, parameters.generator
    primes = [acc.hash_to_prime(number.to_bytes(32, "big")).prime for number in range(_BATCH + _LATER)]
    elements, later = primes[:_BATCH], primes[_BATCH:]
    shared = sum((_power(prime) for prime in later), Count())
    each = Count()
    for index in range(_BATCH):
        for position, prime in enumerate(elements):
            each += _power(prime) if position != index else Count()
    again = Count(_BATCH * shared.squarings, _BATCH * shared.multiplications)
    return {
        "elements": _BATCH,
        "later": _LATER,
        "counted": {
            "one by one": (again + each).total,
            "Protocol 2": (shared + each).total,
            "one power a witness, against the first anchor": each_membership_witness_count(elements).total,
            "`all_membership_witnesses`, against the first anchor": all_membership_witnesses_count(
                elements, Plan(TYPICAL)
            ).total,
        },
        "cpu_ms": {
            "Protocol 2": median_cpu_ms(lambda: paper.batch_proof_generation(n, before, elements, later), 1),
            "`all_membership_witnesses`, against the first anchor": median_cpu_ms(
                lambda: acc.all_membership_witnesses(parameters, before, elements, costs=TYPICAL), repeats
            ),
        },
    }


def _power(exponent: int) -> Count:
    return Count(exponent.bit_length() - 1, exponent.bit_count() - 1)


def _protocol_3(parameters: acc.Parameters, bits: int, repeats: int) -> dict[str, Any]:
    """Eight proofs with exponents of `bits` bits: the arithmetic, and times where they verify anything."""
    n, source = parameters.modulus.n, random.Random(bits)
    elements = [source.getrandbits(bits) | 1 << (bits - 1) | 1 for _ in range(_PROOFS)]
    proofs = [source.randrange(2, n // 2) for _ in range(_PROOFS)]
    values = [pow(proof, element, n) for proof, element in zip(proofs, elements, strict=True)]
    claimed, counted = protocol3_claimed(_PROOFS, bits), protocol3_counted(_PROOFS, bits)
    batch, independent = protocol3_exact(elements)

    def one_by_one() -> None:
        for proof, element, value in zip(proofs, elements, values, strict=True):
            assert pow(proof, element, n) == value

    def protocol_3() -> None:
        assert paper.protocol_3(n, proofs, elements, values)

    times = {
        "one by one": median_cpu_ms(one_by_one, repeats),
        "Protocol 3": median_cpu_ms(protocol_3, repeats),
    }
    if bits == 256:
        times |= _sound(parameters, repeats)
    return {
        "bits": bits,
        "proofs": _PROOFS,
        "claimed": [claimed.batch, claimed.independent],
        "expected": [counted.batch, counted.independent],
        "exact": [batch.total, independent.total],
        "cpu_ms": times,
    }


def _sound(parameters: acc.Parameters, repeats: int) -> dict[str, float]:
    """What supersedes Protocol 3, on as many elements of one value, and of as many values."""
    primes = [acc.hash_to_prime(number.to_bytes(32, "big")).prime for number in range(_PROOFS)]
    before = parameters.generator
    after = acc.accumulate(parameters, before, primes)
    witnesses = acc.all_membership_witnesses(parameters, before, primes)
    witness, proof = acc.aggregate(parameters, primes, witnesses, after)
    instances = [
        acc.MembershipInstance(parameters, after, prime, one)
        for prime, one in zip(primes, witnesses, strict=True)
    ]
    return {
        "`verify_batch`, random exponents": median_cpu_ms(lambda: acc.verify_batch(instances), repeats),
        "`verify_aggregate`, one value": median_cpu_ms(
            lambda: acc.verify_aggregate(parameters, after, primes, witness, proof), repeats
        ),
    }


def render_paper(result: dict[str, Any]) -> list[str]:
    """The section of docs/benchmarks-accumulator.md."""
    two = result["protocol_2"]
    lines = [
        "## The paper's Protocol 2 and Protocol 3",
        "",
        "Both are in `accumulator/paper.py`, as printed and as meant; nothing in the product uses them. "
        "Counts are of squarings and multiplications modulo N, exact for this run's exponents.",
        "",
        f"**Protocol 2** (batch proof generation), {two['elements']} elements that {two['later']} later "
        "ones follow. It saves raising to the later elements again for every proof; the rest is quadratic. "
        "A witness against the first anchor that covers its element needs no later elements at all.",
        "",
        "| way | counted | CPU ms |",
        "|---|---:|---:|",
    ]
    for way, count in two["counted"].items():
        ms = two["cpu_ms"].get(way)
        lines.append(f"| {way} | {count:,} | {'' if ms is None else f'{ms:,.0f}'} |")
    lines += [
        "",
        "**Protocol 3** (batch verification), eight proofs. The paper counts b for a power and 2^t + b for "
        "the batch, without the multiplications that a bit costs on both sides. At t = 8 and b = 2048 that "
        f"is 256 + 2048 = 2304 of 16384, which is {2304 / 16384:.1%}; the printed {_PRINTED:,} and "
        f'"12.4 %" ({_PRINTED} / 16384 = '
        f"{_PRINTED / 16384:.1%}) are a misprint. Counted fully it is "
        + " and ".join(
            f"{one['expected'][0] / one['expected'][1]:.1%} at {one['bits']} bits"
            for one in result["protocol_3"]
        )
        + ". It is also unsound: two proofs for elements that were never accumulated pass "
        "(`bezout_forgery`), which random exponents prevent.",
        "",
        "| bits | paper's count | | full count, expected | | exact, this run | |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in result["protocol_3"]:
        cells = [str(one["bits"])]
        for key in ("claimed", "expected", "exact"):
            batch, independent = one[key]
            cells += [f"{batch:,} / {independent:,}", f"{batch / independent:.1%}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| way | CPU ms, 256 bits | CPU ms, 2048 bits |", "|---|---:|---:|"]
    short, long = (one["cpu_ms"] for one in result["protocol_3"])
    lines += [
        f"| {way} | {ms:.2f} | {f'{long[way]:.2f}' if way in long else ''} |" for way, ms in short.items()
    ]
    lines += [
        "",
        "One by one and Protocol 3 are in Python's plain integers, whose `pow` is several times slower than "
        "gmpy2's; the sound ones go through gmpy2.",
    ]
    return lines
