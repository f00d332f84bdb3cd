"""What the accumulator costs a transaction in the anchor signer, with its parts (seed 003 reports about 0.1 s)."""

from __future__ import annotations

import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accumulator import accumulate, default_parameters, hash_to_prime, prove_append_only, verify_append_only
from benchmarks.measure import median_ms
from identity import DevelopmentAuthority, Role
from protocol.elements import Element
from protocol.merkle import Frontier

__all__ = ["measure_accumulator_cost"]

_RANGES = (10, 100, 1000)


def measure_accumulator_cost(repeats: int) -> dict[str, Any]:
    """Cost a transaction, milliseconds, for anchors that cover 10, 100 and 1,000 transactions.

    Returns:
        ``{"rows": [{"range", "element_and_tree", "hash_to_prime", "accumulate", "signature", "total",
        "append_only_prove", "append_only_verify"}]}``; the append-only proof is the relay's and the
        contract's, an anchor each, and not in ``total``.
    """
    parameters = default_parameters("edge-a")
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        now = datetime.now(UTC)
        authority = DevelopmentAuthority.create("one", Path(name) / "one", now=now)
        signer = authority.issue("signer", Role.ANCHOR_SIGNER, now=now)
    rows = []
    for count in _RANGES:
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

        row = {
            "range": count,
            "element_and_tree": median_ms(tree, repeats) / count,
            "hash_to_prime": median_ms(lambda d=digests: [hash_to_prime(x) for x in d], repeats) / count,
            "accumulate": median_ms(lambda p=primes, b=before: accumulate(parameters, b, p), repeats) / count,
            "signature": median_ms(lambda: signer.sign(b"statement"), repeats) / count,
        }
        row["total"] = sum(value for key, value in row.items() if key != "range")
        row["append_only_prove"] = median_ms(
            lambda p=primes, b=before, a=after: prove_append_only(parameters, b, p, a, b"bench"), repeats
        )
        row["append_only_verify"] = median_ms(
            lambda b=before, a=after, q=proof: verify_append_only(parameters, b, a, q, b"bench"), repeats
        )
        rows.append(row)
    return {"rows": rows, "repeats": repeats}
