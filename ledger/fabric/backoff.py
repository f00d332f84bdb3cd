"""Pauses between attempts, uneven so that clients that failed together do not come back together."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

__all__ = ["Backoff", "uneven"]

_SOURCE: Final = random.SystemRandom()


def uneven(shortest: float, longest: float) -> float:
    """A number of seconds between two others."""
    return _SOURCE.uniform(shortest, longest)


@dataclass(frozen=True)
class Backoff:
    """Pauses in seconds; each about twice the one before."""

    first: float = 0.1
    longest: float = 5.0

    def pause(self, attempt: int) -> float:
        """The pause after the ``attempt``-th failure, from 1."""
        longest = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return uneven(longest / 2, longest)
