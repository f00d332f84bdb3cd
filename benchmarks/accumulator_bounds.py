"""What the accumulator must reach on the same work in one run, and whether the figures say that it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["bounds"]


def bounds(result: Mapping[str, Any], small: int, large: int) -> list[dict[str, Any]]:
    """Every bound with what was measured.

    Args:
        result: of the benchmark.
        small: elements of its small ranges.
        large: elements of its large range.

    Returns:
        A row a bound: ``what``; ``limit`` and ``strict`` (below it, not at it); and by way (``library``,
        ``kernel``) the measured ``value``, None where it was not measured or is not asked, and ``met``.
    """
    peers = result["peers_cpu_ms"]

    def over(name: str, peer: str, asked: str | None = None, times: str = "cpu_ms") -> dict[str, float]:
        """Ours over theirs, by way."""
        theirs = peers.get(asked or name, {}).get(peer)
        ours = {"library": result[times], "kernel": result[f"kernel_{times}"]}
        return {way: each[name] / theirs for way, each in ours.items() if theirs and name in each}

    accumulate, witness, everything = f"accumulate_{small}", f"witness_{large}", f"all_witnesses_{small}"
    anchored = f"{accumulate}_from_anchor"
    batch, bare, one_by_one = "verify_batch_100", "verify_batch_100_bare", "verify_100_one_by_one_bare"
    return [
        _row(f"accumulate {small:,} from g, of cambrian's", 0.2, over(accumulate, "cambrian")),
        _row(f"accumulate {small:,} from g, of jiajunxin's", 0.2, over(accumulate, "jiajunxin")),
        _row(
            f"accumulate {small:,} from an anchor, of cambrian's from an anchor",
            1, over(anchored, "cambrian"), strict=True,
        ),
        _row(
            f"accumulate {small:,} from an anchor, of cambrian's from its generator 2 (less work)",
            1, over(anchored, "cambrian", accumulate), strict=True,
        ),
        _row(
            f"accumulate {small:,} from an anchor, of jiajunxin's",
            1, over(anchored, "jiajunxin"), strict=True,
        ),
        _row(f"one witness of {large:,} from g, of jiajunxin's", 0.15, over(witness, "jiajunxin")),
        _row(f"all witnesses of {small:,} from an anchor, CPU, of cambrian's",
            0.75, over(everything, "cambrian"),
        ),
        _row(
            f"all witnesses of {small:,} from g, CPU, of cambrian's",
            0.75, over(f"{everything}_from_g", "cambrian"),
        ),
        _row(
            f"all witnesses of {small:,}, wall time with all processors, of jiajunxin's on one",
            1, over(everything, "jiajunxin", times="wall_ms"), strict=True,
        ),
        _row(
            f"all witnesses of {small:,} with the kernel, one processor, of jiajunxin's",
            1, _kernel_alone(over(everything, "jiajunxin")), strict=True,
        ),
        _row("verify 100 of one value, of cambrian's batch", 0.3, over(batch, "cambrian")),
        _row(
            "verify 100 of one value, bare, of one by one",
            0.05,
            {
                way: result[times][bare] / result[times][one_by_one]
                for way, times in (("library", "cpu_ms"), ("kernel", "kernel_cpu_ms"))
                if bare in result[times]
            },
        ),
        _row(
            "one witness in a chain of the longest length, of the shortest",
            1.2, {way: each["ratio"] for way, each in result["chain_length"].items()},
        ),
        _row(
            "milliseconds a transaction in the anchor signer",
            1, result["anchor"]["signer_ms"], strict=True,
        ),
    ]  # fmt: skip


def _row(what: str, limit: float, values: Mapping[str, float], *, strict: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {"what": what, "limit": limit, "strict": strict}
    for way in ("library", "kernel"):
        value = values.get(way)
        met = None if value is None else value < limit if strict else value <= limit
        row[way] = {"value": value, "met": met}
    return row


def _kernel_alone(values: Mapping[str, float]) -> Mapping[str, float]:
    return {way: value for way, value in values.items() if way == "kernel"}
