"""A verifier of many records' memberships, of several chains, as they come: time, memory, what it names."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any, Final

import accumulator as acc
from accumulator.batch import STREAM_CHUNK
from benchmarks.errors import MeasurementFailed

__all__ = ["measure_stream"]

_FALSE: Final = 5


def measure_stream(
    parameters: Mapping[str, acc.Parameters], claims: int, digests: list[bytes]
) -> dict[str, Any]:
    """CPU milliseconds a claim, certificates included, and the most memory taken at once.

    Args:
        parameters: by chain.
        claims: how many; they go through the chains in turn.
        digests: elements of every chain; they are claimed again and again.

    Returns:
        ``claims``, ``chains``; ``cpu_ms_each`` where all hold and ``false_cpu_ms_each`` where ``false`` of
        them do not and were named; ``peak_mib``.
    """
    found = [acc.hash_to_prime(digest) for digest in digests]
    primes = [each.prime for each in found]
    ranges = {
        chain: (
            acc.accumulate(each, each.generator, primes),
            acc.all_membership_witnesses(each, each.generator, primes),
        )
        for chain, each in parameters.items()
    }
    chains = list(parameters)
    wrong = frozenset(range(claims // (_FALSE + 1), claims, claims // (_FALSE + 1)))

    def source(count: int, false: frozenset[int]) -> Iterator[acc.MembershipInstance]:
        for number in range(count):
            chain, at = chains[number % len(chains)], number // len(chains) % len(digests)
            value, witnesses = ranges[chain]
            prime = acc.check_certificate(digests[at], found[at].offset)
            shown = witnesses[at - 1] if number in false else witnesses[at]
            yield acc.MembershipInstance(parameters[chain], value, prime, shown)

    def named(count: int, false: frozenset[int]) -> frozenset[int]:
        acc.is_prime.cache_clear()
        try:
            acc.verify_stream(source(count, false))
        except acc.InvalidMembership as error:
            return frozenset(error.positions)
        return frozenset()

    spent = []
    for false in (frozenset[int](), wrong):
        started = time.process_time()
        if named(claims, false) != false:
            raise MeasurementFailed("the stream's verifier named other claims than the false ones")
        spent.append((time.process_time() - started) * 1000 / claims)
    tracemalloc.start()
    named(min(claims, STREAM_CHUNK + 1), frozenset())  # memory is at its most when a chunk is full
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "claims": claims,
        "chains": len(chains),
        "false": len(wrong),
        "cpu_ms_each": spent[0],
        "false_cpu_ms_each": spent[1],
        "peak_mib": peak / 2**20,
    }
