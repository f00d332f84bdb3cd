"""What a membership witness costs in a long chain; how many requests a second the proof service answers."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import accumulator
from accumulator import Parameters
from benchmarks.synthetic import synthetic_index
from gateway.proving import ProofService
from ledger.index import ChainIndex
from ledger.proofs import Prover
from protocol.anchors import AnchorStatement

__all__ = ["measure_chain_length", "measure_service"]

_CLIENTS: Final = 8


def measure_chain_length(
    parameters: Parameters, folder: Path, lengths: Sequence[int], size: int, repeats: int
) -> dict[str, Any]:
    """CPU milliseconds of one witness, made from the stored anchor value, by the chain's length.

    The element lies in the newest range, in chains of several lengths with ranges of ``size`` elements;
    nothing is kept from one repeat to the next. The witness is verified.
    """
    indexes = {
        length: synthetic_index(folder, parameters, length, size, [length // size]) for length in lengths
    }
    samples: dict[int, list[float]] = {length: [] for length in lengths}
    for turn in range(repeats):
        for length, index in indexes.items():
            number = length - size // 2 - turn
            started = time.process_time()
            proven = index.membership(number)
            samples[length].append((time.process_time() - started) * 1000)
            _verify(index, proven.number, proven.anchor, proven.witness)
            _forget(index)
    for index in indexes.values():
        index.close()
    medians = {str(length): statistics.median(times) for length, times in samples.items()}
    return {
        "range": size,
        "cpu_ms": medians,
        "ratio": medians[str(lengths[-1])] / medians[str(lengths[0])],
        "file_mib": {str(n): (folder / f"index-{n}.sqlite").stat().st_size / 2**20 for n in lengths},
    }


def _verify(index: ChainIndex, number: int, anchor: int, witness: bytes) -> None:
    value = accumulator.decode_value(index.parameters, index.statement(anchor).value_after)
    (prime,) = index.primes(number, number)
    accumulator.verify_membership(
        index.parameters, value, prime, accumulator.decode_value(index.parameters, witness)
    )


def _forget(index: ChainIndex) -> None:
    """Drop what was made, so that the next request begins from the stored value again."""
    index._file.change("DELETE FROM membership_witness")
    index._cache._ranges.clear()


class _OneChain(Prover):
    """A prover over one index that is not synchronised with any ledger."""

    def __init__(self, index: ChainIndex) -> None:
        super().__init__({index.chain: index}, {})
        self._index = index

    def membership(self, chain: str, number: int, *, turn: Any = None) -> Any:
        with turn:
            return self._index.membership(number)


def measure_service(
    parameters: Parameters, folder: Path, ranges: int, size: int, requests: int
) -> dict[str, Any]:
    """Requests a second by the proof service over many ranges: first while witnesses are made, then kept.

    Eight clients ask for random elements of ``ranges`` ranges of ``size`` elements.
    """
    index = synthetic_index(folder, parameters, ranges * size, size, [])
    service = ProofService(_OneChain(index))
    source = random.Random(7)
    wanted = [source.randrange(1, ranges * size + 1) for _ in range(requests)]

    def ask() -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for _ in pool.map(lambda number: service.membership(index.chain, number), wanted):
                pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"per_s": requests / wall, "cpu_ms_each": cpu * 1000 / requests}

    result = {"ranges": ranges, "range": size, "requests": requests, "clients": _CLIENTS}
    cold, warm = ask(), ask()
    last: AnchorStatement = index.statement(ranges)
    assert last.last == ranges * size
    service.close()
    index.close()
    return {**result, "cold": cold, "warm": warm}
