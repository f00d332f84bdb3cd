"""Spot checks: recompute a few steps that the auditor draws, and say exactly what that is worth.

Seed 003, section V.B lets a verifier recompute randomly chosen steps of a training run. Nobody but the
auditor may know or steer the draw: it comes from the auditor's own randomness, or, when others shall be able
to repeat it, from a nonce that the auditor committed to before a block of main, named beforehand, came to be.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import comb
from typing import Protocol

from audit.errors import Check, Invalid, Unusable
from chaincode.api import Environment, Run, Step
from protocol.encodings import tagged_hash

__all__ = [
    "Drawn",
    "Recomputation",
    "Replayer",
    "SpotCheck",
    "Verdict",
    "check_step",
    "commit_nonce",
    "detection_probability",
    "draw",
    "public_source",
    "spot_check",
]

Randomness = Callable[[int], bytes]
"""Gives that many bytes."""


class Verdict(StrEnum):
    """What recomputing a step said."""

    EQUAL = "equal"
    """Bit for bit."""
    WITHIN = "within"
    """Inside the declared tolerance, in another environment."""
    DIFFERS = "differs"
    WITHHELD = "withheld"
    """An input was not handed over; counts as a failure, else hiding would beat auditing."""


@dataclass(frozen=True)
class Recomputation:
    """A replayer's answer."""

    result: bytes
    """Tree hash of the recomputed weights; empty when an input was withheld."""
    verdict: Verdict
    environment: Environment | None
    """Where it was recomputed; ``None`` when nothing was."""


class Replayer(Protocol):
    """Recomputes one step; ``edgeproof`` hands in the one that runs torch in a process of its own."""

    def replay(
        self,
        run: Run,
        step: Step,
        parent: bytes,
        aggregate: bytes,
        data: Sequence[bytes],
        claimed: bytes | None,
    ) -> Recomputation:
        """Compute the step's result anew.

        Args:
            run: the frozen run with its recipe.
            step: the step as recorded.
            parent: bytes of the snapshot M_i.
            aggregate: bytes of the snapshot M_O.
            data: bytes of the readings of the data set, in the manifest's order.
            claimed: bytes of the snapshot that the step claims, which only a tolerance needs; ``None`` when
                they cannot be had.
        """


@dataclass(frozen=True)
class Drawn:
    """A step that the draw chose, and what came of recomputing it."""

    chain: str
    number: int
    attempt: int
    verdict: Verdict
    recorded: bytes
    recomputed: bytes


@dataclass(frozen=True)
class SpotCheck:
    """The outcome of a spot check.

    Attributes:
        population: L, the steps that could be drawn.
        drawn: the s steps that were.
    """

    population: int
    drawn: tuple[Drawn, ...]

    @property
    def failures(self) -> tuple[Drawn, ...]:
        """Steps whose recorded result does not follow from their inputs, or whose inputs are withheld."""
        return tuple(one for one in self.drawn if one.verdict in (Verdict.DIFFERS, Verdict.WITHHELD))

    def confidence(self, false_steps: int) -> Fraction:
        """Probability that this check would have met one of ``false_steps`` false steps."""
        return detection_probability(self.population, false_steps, len(self.drawn))


def detection_probability(population: int, false_steps: int, sample: int) -> Fraction:
    """Exact probability that a sample without replacement holds at least one false step.

    1 - C(L-k, s) / C(L, s); the paper's 1 - (1 - k/L)^s is for draws with replacement and is lower.

    >>> detection_probability(30, 3, 5)
    Fraction(88, 203)

    Raises:
        Unusable: a count that is negative or above the population.
    """
    if not (0 <= false_steps <= population and 0 <= sample <= population):
        raise Unusable(
            Check.USAGE, f"cannot draw {sample} of {population} steps with {false_steps} false ones"
        )
    return 1 - Fraction(comb(population - false_steps, sample), comb(population, sample))


def commit_nonce(nonce: bytes) -> bytes:
    """The auditor's commitment to ``nonce`` (32 bytes), published before the named block exists; 32 bytes."""
    return tagged_hash("edgeproof/spot-check-commitment/v1", nonce)


def public_source(nonce: bytes, commitment: bytes, block_hash: bytes, run: str) -> Randomness:
    """Randomness that anybody can repeat once the auditor opens the nonce.

    Args:
        nonce: the auditor's 32 bytes.
        commitment: what was published (``commit_nonce``).
        block_hash: header hash of the main block that was named when the commitment was published.
        run: the run under audit.

    Raises:
        Invalid: the nonce does not open the commitment.
    """
    if len(nonce) != 32 or commit_nonce(nonce) != commitment:
        raise Invalid(Check.SPOT_CHECK, "the nonce does not open the commitment")
    counter = 0

    def take(count: int) -> bytes:
        nonlocal counter
        out = b""
        while len(out) < count:
            out += tagged_hash("edgeproof/spot-check-draw/v1", nonce, block_hash, run, counter)
            counter += 1
        return out[:count]

    return take


def draw(population: int, sample: int, randomness: Randomness = secrets.token_bytes) -> list[int]:
    """``sample`` distinct positions below ``population``, each set equally likely, in ascending order.

    Raises:
        Unusable: the sample is larger than the population, or negative.
    """
    if not 0 <= sample <= population:
        raise Unusable(Check.USAGE, f"cannot draw {sample} of {population} steps")
    positions = list(range(population))
    for index in range(sample):  # Fisher-Yates, as far as it is needed
        other = index + _below(population - index, randomness)
        positions[index], positions[other] = positions[other], positions[index]
    return sorted(positions[:sample])


def check_step(step: Step, recomputation: Recomputation) -> Verdict:
    """The verdict as the auditor takes it, which need not be the replayer's word.

    ``equal`` is believed only when the hashes are; ``within`` only from another environment than the
    trainer's (equal environments promise equal bits); a missing result is ``withheld``.
    """
    if recomputation.verdict is Verdict.WITHHELD:
        return Verdict.WITHHELD
    if not recomputation.result:
        return Verdict.DIFFERS if recomputation.verdict is Verdict.DIFFERS else Verdict.WITHHELD
    if recomputation.result == step.result:
        return Verdict.EQUAL
    if recomputation.verdict is Verdict.WITHIN and recomputation.environment != step.environment:
        return Verdict.WITHIN
    return Verdict.DIFFERS


def spot_check(
    steps: Sequence[tuple[str, Step]],
    sample: int,
    recompute: Callable[[str, Step], Recomputation],
    randomness: Randomness = secrets.token_bytes,
) -> SpotCheck:
    """Draw ``sample`` of ``steps`` (chain and step, in an order fixed before the draw) and recompute them.

    Raises:
        Unusable: more steps asked for than there are.
    """
    drawn = []
    for position in draw(len(steps), sample, randomness):
        chain, step = steps[position]
        answer = recompute(chain, step)
        drawn.append(
            Drawn(chain, step.number, step.attempt, check_step(step, answer), step.result, answer.result)
        )
    return SpotCheck(len(steps), tuple(drawn))


def _below(bound: int, randomness: Randomness) -> int:
    """A number below ``bound``, without modulo bias (rejection)."""
    width = (bound.bit_length() + 7) // 8 + 8
    limit = (1 << (8 * width)) // bound * bound
    while True:
        value = int.from_bytes(randomness(width), "big")
        if value < limit:
            return value % bound
