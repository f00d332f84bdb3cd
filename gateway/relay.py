"""The relay: interlocks edge chains with main (seed 003, section IV.A: Type-II up, Type-III down).

A state machine without IO: what was seen on the chains comes in as events, submissions go out as commands.
It keeps no truth of its own. Killed at any instant and started again it is fed the same blocks and reaches
the same state; a submission that was already done is refused by the contracts and taken as done.

What it does, for every chain:

1. Something new happened (by count or by age): fix the next cut on that chain.
2. The cut has gathered its quorum of anchor signatures: carry the statement. An edge's goes to main
   (Type-II); main's goes to every edge (Type-III).
3. Nothing new: keep quiet. Interlocking transactions are not news, otherwise the chains would answer each
   other for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "AcceptedSeen",
    "BehindSeen",
    "BlocksSeen",
    "Carry",
    "ChainHalted",
    "Command",
    "CutSeen",
    "Event",
    "FixNextCut",
    "Outcome",
    "QuorumSeen",
    "Relay",
    "RelayPolicy",
    "RollbackSeen",
    "Tick",
]


@dataclass(frozen=True)
class RelayPolicy:
    """When a chain's news is worth an anchor."""

    max_news: int = 64
    """Cut when this many news elements are waiting."""
    max_age_s: float = 1.0
    """Cut when the oldest waiting news is older than this, seconds."""
    retry_s: float = 0.2
    """Wait this long after a submission that failed, doubled each time, seconds."""
    max_retry_s: float = 5.0


# ------------------------------------------------------------------ events


@dataclass(frozen=True)
class BlocksSeen:
    """Blocks of ``chain`` were read; ``news`` elements of them are news."""

    chain: str
    news: int
    now: float


@dataclass(frozen=True)
class CutSeen:
    """A valid cut was met: all news seen before it (its own block's comes after) waits no more."""

    chain: str
    number: int


@dataclass(frozen=True)
class QuorumSeen:
    """Cut ``number`` of ``chain`` has its quorum of signatures over one statement."""

    chain: str
    number: int


@dataclass(frozen=True)
class AcceptedSeen:
    """``holder`` holds anchor ``number`` of ``chain``."""

    holder: str
    chain: str
    number: int


@dataclass(frozen=True)
class RollbackSeen:
    """``chain`` contradicts an anchor of it that another chain holds, or what was read of it before."""

    chain: str
    why: str


@dataclass(frozen=True)
class BehindSeen:
    """``chain`` has not reached what another chain holds of it, or what was read of it before.

    A peer that was restored or that lags may catch up: it is relayed for again when it has.
    """

    chain: str
    why: str | None
    """None: it has caught up."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command: ``done`` also when the chain answered that it was done already."""

    command: Command
    done: bool
    now: float


@dataclass(frozen=True)
class Tick:
    """Time passed."""

    now: float


Event = BlocksSeen | CutSeen | QuorumSeen | AcceptedSeen | RollbackSeen | BehindSeen | Outcome | Tick


# ------------------------------------------------------------------ commands


@dataclass(frozen=True)
class FixNextCut:
    """Submit ``interlock:cut`` number ``number`` on ``chain``."""

    chain: str
    number: int


@dataclass(frozen=True)
class Carry:
    """Submit statement ``number`` of ``chain`` to ``holder``."""

    holder: str
    chain: str
    number: int


Command = FixNextCut | Carry


@dataclass(frozen=True)
class ChainHalted:
    """Why the relay does not relay for a chain any more."""

    chain: str
    why: str


# ------------------------------------------------------------------ the machine


@dataclass
class _Chain:
    waiting_news: int = 0
    oldest_news: float | None = None
    cut: int = 0
    quorum: int = 0
    held: dict[str, int] = field(default_factory=dict)
    rolled_back: str | None = None
    behind: str | None = None

    @property
    def halted(self) -> str | None:
        """Why nothing is relayed for the chain, if so."""
        return self.rolled_back or self.behind


@dataclass
class _Attempt:
    in_flight: bool = False
    failures: int = 0
    not_before: float = 0.0


class Relay:
    """Events in, commands out.

    Args:
        main: chain id of the main chain.
        edges: chain ids of the edges.
        policy: when to anchor.
    """

    def __init__(self, main: str, edges: tuple[str, ...], policy: RelayPolicy | None = None) -> None:
        self._policy = policy or RelayPolicy()
        self._main = main
        self._chains: dict[str, _Chain] = {chain: _Chain() for chain in (main, *edges)}
        self._holders: Mapping[str, tuple[str, ...]] = {main: edges, **dict.fromkeys(edges, (main,))}
        self._attempts: dict[Command, _Attempt] = {}

    def feed(self, event: Event) -> list[Command]:
        """Take one event in; the commands to submit now. A command is given out once until its outcome."""
        match event:
            case BlocksSeen():
                self._blocks(event)
                return []
            case CutSeen(chain, number):
                state = self._chains[chain]
                state.cut = max(state.cut, number)
                state.waiting_news = 0
                state.oldest_news = None
                self._forget(FixNextCut(chain, number))
                return []
            case QuorumSeen(chain, number):
                state = self._chains[chain]
                state.quorum = max(state.quorum, number)
                return []
            case AcceptedSeen(holder, chain, number):
                held = self._chains[chain].held
                held[holder] = max(held.get(holder, 0), number)
                self._forget(Carry(holder, chain, number))
                return []
            case RollbackSeen(chain, why):
                self._chains[chain].rolled_back = why
                return []
            case BehindSeen(chain, late):
                self._chains[chain].behind = late
                return []
            case Outcome():
                self._outcome(event)
                return []
            case Tick(now):
                return list(self._due(now))

    @property
    def halted(self) -> tuple[ChainHalted, ...]:
        """Chains that the relay refuses to relay for, and why."""
        return tuple(
            ChainHalted(chain, state.halted)
            for chain, state in self._chains.items()
            if state.halted is not None
        )

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting: no news, no unfinished cut, nothing to carry."""
        return not any(
            state.halted is None
            and (
                state.waiting_news
                or state.quorum < state.cut
                or any(state.held.get(holder, 0) < state.cut for holder in self._holders[chain])
            )
            for chain, state in self._chains.items()
        )

    def wake_at(self) -> float | None:
        """From when on a ``Tick`` gives out commands if nothing else happens; None: not before an event."""
        times = []
        for command, ready in self._wanted():
            attempt = self._attempts.get(command, _Attempt())
            if not attempt.in_flight:
                times.append(max(ready, attempt.not_before))
        return min(times, default=None)

    def lag(self) -> dict[str, int]:
        """News elements that no cut covers yet, a chain."""
        return {chain: state.waiting_news for chain, state in self._chains.items()}

    def _blocks(self, event: BlocksSeen) -> None:
        state = self._chains[event.chain]
        if event.news:
            state.waiting_news += event.news
            if state.oldest_news is None:
                state.oldest_news = event.now

    def _outcome(self, event: Outcome) -> None:
        attempt = self._attempts.get(event.command)
        if attempt is None:
            return  # the chains have told already that it is there
        attempt.in_flight = False
        if event.done:
            # Only the chain itself shows that it is there; until then nothing is submitted twice in haste.
            attempt.not_before = event.now + self._policy.max_retry_s
            return
        wait = min(self._policy.retry_s * 2**attempt.failures, self._policy.max_retry_s)
        attempt.failures += 1
        attempt.not_before = event.now + wait

    def _due(self, now: float) -> Iterator[Command]:
        for command, ready in self._wanted():
            attempt = self._attempts.setdefault(command, _Attempt())
            if not attempt.in_flight and now >= max(ready, attempt.not_before):
                attempt.in_flight = True
                yield command

    def _wanted(self) -> Iterator[tuple[Command, float]]:
        """What is to be submitted, and from when on."""
        for chain, state in self._chains.items():
            if state.halted is not None:
                continue
            # One cut at a time: the next one waits until the last has its quorum, so that cuts never pile up.
            if state.quorum >= state.cut and state.oldest_news is not None:
                enough = state.waiting_news >= self._policy.max_news
                ready = -math.inf if enough else state.oldest_news + self._policy.max_age_s
                yield FixNextCut(chain, state.cut + 1), ready
            for holder in self._holders[chain]:
                following = state.held.get(holder, 0) + 1
                if following <= state.quorum and self._chains[holder].halted is None:
                    yield Carry(holder, chain, following), -math.inf

    def _forget(self, command: Command) -> None:
        self._attempts.pop(command, None)
