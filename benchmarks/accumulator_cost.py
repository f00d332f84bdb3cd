"""What the accumulator costs a transaction in the anchor signer, with its parts (seed 003: about 0.1 s)."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from accumulator import (
    accumulate,
    default_parameters,
    hash_to_prime,
    is_prime,
    prove_append_only,
    verify_append_only,
)
from benchmarks.measure import median_ms
from benchmarks.scale import Say, Scale
from identity import DevelopmentAuthority, Role
from protocol.elements import Element
from protocol.merkle import Frontier

__all__ = ["measure_accumulator_cost"]

_PAPER_MS = 100.0
"""Seed 003, section VI: "a constant number of 0.1 seconds approximately"."""


def measure_accumulator_cost(scale: Scale, say: Say) -> dict[str, Any]:
    """Cost a transaction, milliseconds, for anchors that cover 10, 100 and 1,000 transactions.

    Returns:
        ``{"paper_ms", "rows": [{"range", "element_and_tree", "hash_to_prime", "accumulate", "signature",
        "total", "append_only_prove", "append_only_verify"}]}``; the append-only proof is the relay's and the
        contract's, an anchor each, and not in ``total``.
    """
    parameters = default_parameters("edge-a")
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        now = datetime.now(UTC)
        authority = DevelopmentAuthority.create("one", Path(name) / "one", now=now)
        signer = authority.issue("signer", Role.ANCHOR_SIGNER, now=now)
    rows, repeats = [], scale.repeats
    for count in scale.ranges:
        elements = [
            Element("edge-a", n + 1, n, 0, 0, secrets.token_bytes(32), secrets.token_bytes(32))
            for n in range(count)
        ]
        digests = [element.digest() for element in elements]
        primes = [hash_to_prime(digest).prime for digest in digests]
        # A later range has no tables for its base: the usual case of a long chain.
        before = accumulate(parameters, parameters.generator, primes[:1])
        after = accumulate(parameters, before, primes)
        proof = prove_append_only(parameters, before, primes, after, b"bench")

        def tree(elements: list[Element] = elements) -> None:
            frontier = Frontier()
            for element in elements:
                frontier.append(element.digest())

        def hash_all(digests: list[bytes] = digests) -> None:
            # Answers of the primality test are remembered: every element of a real chain is new.
            is_prime.cache_clear()
            for digest in digests:
                hash_to_prime(digest)

        parts: dict[str, Callable[[], object]] = {
            "element_and_tree": tree,
            "hash_to_prime": hash_all,
            "accumulate": partial(accumulate, parameters, before, primes),
            "signature": partial(signer.sign, b"statement"),
        }
        row = {name: median_ms(part, repeats) / count for name, part in parts.items()}
        row["total"] = sum(row.values())
        row["append_only_prove"] = median_ms(
            partial(prove_append_only, parameters, before, primes, after, b"bench"), repeats
        )
        row["append_only_verify"] = median_ms(
            partial(verify_append_only, parameters, before, after, proof, b"bench"), repeats
        )
        rows.append({"range": count, **row})
        say(f"an anchor of {count} transactions: {row['total']:.3f} ms a transaction")
    return {"paper_ms": _PAPER_MS, "rows": rows}
