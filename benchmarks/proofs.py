"""Making and verifying proofs: one record's bundle, its cost against the chain's length, many memberships.

"Cold" is a process that follows the chains and has proved nothing yet: no membership witness is kept.
"Warm" is the same question again. Copies of one deployment, taken while it grew, are the chains of different
lengths, so that their proofs can be timed in turns.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accumulator import (
    MembershipInstance,
    aggregate,
    check_certificate,
    decode_value,
    is_prime,
    verify_aggregate,
    verify_batch,
    verify_membership,
)
from audit.verifier import read_bundle, read_trust, verify_bundle
from benchmarks.chains import INTERLOCK_ELEMENTS, Grower
from benchmarks.errors import MeasurementFailed
from benchmarks.measure import elapsed_ms, interleaved_ms, median_ms, rotated
from benchmarks.scale import Say, Scale
from edgeproof.deployment import Deployment, Plan
from edgeproof.setup import make_deployment
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from identity import KeyPair
from protocol.bundle import Bundle, serialise_bundle
from protocol.trust import serialise_trust

__all__ = ["measure_proofs"]

_EDGE = "edge-a"
_PROFILES = ("compact", "full")


@dataclass(frozen=True)
class _Chain:
    """A copy of the deployment at one length of its edge's chain."""

    deployment: Deployment
    elements: int
    records: Sequence[bytes]
    """Of the batch in the newest anchored range."""
    caches: Path
    """Indexes that have read everything and proved nothing."""


def measure_proofs(scale: Scale, say: Say) -> dict[str, Any]:
    """Proof generation and verification.

    Returns:
        ``bundle`` (a row a profile: bytes, cold, warm and verification ms), ``lengths`` (a row a length of
        the chain), ``memberships`` (verification of many of one anchor).
    """
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        folder = Path(name)
        chains = list(_grow(folder, scale, say))
        return {
            "bundle": _bundle(chains[-1], folder, scale, say),
            "lengths": _lengths(chains, folder, scale, say),
            "memberships": _memberships(chains[-1], folder, scale, say),
        }


def _grow(folder: Path, scale: Scale, say: Say) -> Iterator[_Chain]:
    deployment = make_deployment(folder / "deployment", Plan.standard(2))
    key, elements = KeyPair.generate(), 0
    for length in scale.lengths:
        records: Sequence[bytes] = ()
        with Grower(deployment, _EDGE, key) as grower:
            if not elements:
                # What set-up and enrolment write gets an anchor of its own: every proof, whatever the chain's
                # length, then needs a membership there and one in the newest range.
                grower.enrol()
                grower.interlock()
            while not records or elements < length:
                records = grower.fill(max(1, scale.anchor_range - INTERLOCK_ELEMENTS - 1), scale.batch)
                grower.interlock()
                elements = grower.elements
                say(f"growing: {elements} of {scale.lengths[-1]} elements")
        copy = folder / f"length-{length}"
        shutil.copytree(deployment.root, copy)
        copied = Deployment(copy)
        caches = folder / f"caches-{length}"
        with Parts(copied, "bench", caches=caches) as parts:
            for ledger in parts.readers.values():
                parts.index(ledger).sync()
        yield _Chain(copied, elements, records, caches)


@contextmanager
def _fresh(chain: _Chain, folder: Path) -> Iterator[Parts]:
    """The chain's parts in a state in which nothing was proved."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        caches = Path(name) / "caches"
        shutil.copytree(chain.caches, caches)
        with Parts(chain.deployment, "bench", caches=caches) as parts:
            # Opened and in step: what is timed is the proof.
            for ledger in parts.readers.values():
                parts.index(ledger).sync()
            yield parts


def _prove(parts: Parts, record: bytes, profile: str) -> tuple[Bundle, float]:
    started = time.perf_counter()
    bundle = parts.prover.record_bundle(_EDGE, record, profile=profile)
    return bundle, (time.perf_counter() - started) * 1000


def _cold_and_warm(chain: _Chain, folder: Path, repeat: int, profile: str) -> tuple[bytes, float, float]:
    record = chain.records[repeat * 7 % len(chain.records)]
    with _fresh(chain, folder) as parts:
        bundle, cold = _prove(parts, record, profile)
        again, warm = _prove(parts, record, profile)
    if again != bundle:
        raise MeasurementFailed("the same record gave two bundles")
    return serialise_bundle(bundle), cold, warm


def _bundle(chain: _Chain, folder: Path, scale: Scale, say: Say) -> list[dict[str, Any]]:
    """Bytes and times of one record's bundle, by profile."""
    with _fresh(chain, folder) as parts:
        trust = serialise_trust(export_trust(parts))
        _prove(parts, chain.records[0], _PROFILES[0])  # the first proof of this process pays for more
    made: dict[str, list[tuple[bytes, float, float]]] = {profile: [] for profile in _PROFILES}
    verified: dict[str, list[tuple[float, float]]] = {profile: [] for profile in _PROFILES}
    for repeat in range(scale.repeats):
        for profile in rotated(_PROFILES, repeat):
            raw, cold, warm = _cold_and_warm(chain, folder, repeat, profile)
            made[profile].append((raw, cold, warm))
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as stranger:
                verified[profile].append(stranger.submit(_verify, raw, trust).result())
            say(
                f"{profile} bundle {repeat + 1}/{scale.repeats}: {len(raw)} B, {cold:.0f} ms cold, "
                f"verified in {verified[profile][-1][0]:.0f} ms"
            )
    return [
        {
            "profile": profile,
            "bytes": statistics.median(len(raw) for raw, _, _ in made[profile]),
            "prove_cold_ms": statistics.median(cold for _, cold, _ in made[profile]),
            "prove_warm_ms": statistics.median(warm for _, _, warm in made[profile]),
            "verify_first_ms": statistics.median(first for first, _ in verified[profile]),
            "verify_again_ms": statistics.median(again for _, again in verified[profile]),
        }
        for profile in _PROFILES
    ]


def _verify(raw: bytes, trust: bytes) -> tuple[float, float]:
    """Milliseconds of a process's first verification and of its second one; its imports are not in them.

    The first reads the trust root too. The second finds parsed configurations and tested primes remembered.
    """
    first = elapsed_ms(lambda: verify_bundle(read_bundle(raw), read_trust(trust)))
    root = read_trust(trust)
    return first, elapsed_ms(lambda: verify_bundle(read_bundle(raw), root))


def _lengths(chains: Sequence[_Chain], folder: Path, scale: Scale, say: Say) -> list[dict[str, Any]]:
    """Times of a compact bundle at each length; the lengths take turns."""
    times: dict[int, list[tuple[float, float]]] = {chain.elements: [] for chain in chains}
    by_length = {str(chain.elements): chain for chain in chains}
    for repeat in range(scale.repeats):
        for name in rotated(list(by_length), repeat):
            _, cold, warm = _cold_and_warm(by_length[name], folder, repeat, "compact")
            times[int(name)].append((cold, warm))
        say(f"against length {repeat + 1}/{scale.repeats}: " + ", ".join(_last(times)))
    rows = []
    for chain in chains:
        with _fresh(chain, folder) as parts:
            statement = parts.index(parts.readers[_EDGE]).statements()[-1]
        rows.append(
            {
                "elements": chain.elements,
                "anchor_range": statement.last - statement.first + 1,
                "prove_cold_ms": statistics.median(cold for cold, _ in times[chain.elements]),
                "prove_warm_ms": statistics.median(warm for _, warm in times[chain.elements]),
            }
        )
    return rows


def _last(times: Mapping[int, Sequence[tuple[float, float]]]) -> list[str]:
    return [f"{length} elements {runs[-1][0]:.0f} ms" for length, runs in times.items()]


def _memberships(chain: _Chain, folder: Path, scale: Scale, say: Say) -> dict[str, Any]:
    """Verification of many memberships in one anchor: one by one, by random exponents, aggregated."""
    with _fresh(chain, folder) as parts:
        index = parts.index(parts.readers[_EDGE])
        statement = index.statements()[-1]
        last = min(statement.last, statement.first + scale.memberships - 1)
        numbers = range(statement.first, last + 1)
        all_ms = elapsed_ms(lambda: index.memberships(numbers))
        proven = index.memberships(numbers)
        parameters = index.parameters
    value = decode_value(parameters, statement.value_after)
    digests = [(one.element().digest(), one.offset) for one in proven]
    witnesses = [decode_value(parameters, one.witness) for one in proven]

    def primes() -> list[int]:
        # Answers of the primality test are remembered: a stranger's elements are new.
        is_prime.cache_clear()
        return [check_certificate(digest, offset) for digest, offset in digests]

    def one_by_one() -> None:
        for prime, witness in zip(primes(), witnesses, strict=True):
            verify_membership(parameters, value, prime, witness)

    def batch() -> None:
        verify_batch(
            [
                MembershipInstance(parameters, value, prime, witness)
                for prime, witness in zip(primes(), witnesses, strict=True)
            ]
        )

    aggregated, proof = aggregate(parameters, primes(), witnesses, value)
    actions: dict[str, Callable[[], object]] = {
        "one_by_one_ms": one_by_one,
        "batch_ms": batch,
        "aggregate_ms": lambda: verify_aggregate(parameters, value, primes(), aggregated, proof),
        "certificates_ms": primes,
    }
    times = interleaved_ms(actions, max(scale.repeats, 5))
    say(f"{len(proven)} memberships: " + ", ".join(f"{name} {ms:.1f}" for name, ms in times.items()))
    return {
        "count": len(proven),
        "anchor_range": statement.last - statement.first + 1,
        "all_witnesses_cold_ms": all_ms,
        "aggregate_make_ms": median_ms(
            lambda: aggregate(parameters, primes(), witnesses, value), scale.repeats
        ),
        "witness_bytes": parameters.value_bytes,
        **times,
    }
