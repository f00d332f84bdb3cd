"""The relay's state machine, read as a script: events in, commands out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.relay import (
    AcceptedSeen,
    BlocksSeen,
    Carry,
    CutSeen,
    FixNextCut,
    Outcome,
    QuorumSeen,
    Relay,
    RelayPolicy,
    RollbackSeen,
    Tick,
)

POLICY = RelayPolicy(max_news=3, max_age_s=1.0, retry_s=0.5, max_retry_s=4.0)


def relay() -> Relay:
    return Relay("main", ("edge-a", "edge-b"), POLICY)


def test_news_is_cut_by_count() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 2, now=0.0))
    assert machine.feed(Tick(0.1)) == []
    machine.feed(BlocksSeen("edge-a", 1, now=0.1))
    assert machine.feed(Tick(0.1)) == [FixNextCut("edge-a", 1)]


def test_news_is_cut_by_age() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 1, now=0.0))
    assert machine.feed(Tick(0.99)) == []
    assert machine.feed(Tick(1.0)) == [FixNextCut("edge-a", 1)]


def test_a_command_is_given_out_once_until_its_outcome() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 3, now=0.0))
    (command,) = machine.feed(Tick(0.0))
    assert machine.feed(Tick(0.1)) == []
    machine.feed(Outcome(command, done=False, now=0.1))
    assert machine.feed(Tick(0.5)) == []
    assert machine.feed(Tick(0.6)) == [command]


def test_failures_back_off_up_to_the_limit() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 3, now=0.0))
    now, waits = 0.0, []
    (command,) = machine.feed(Tick(now))
    for _ in range(5):
        machine.feed(Outcome(command, done=False, now=now))
        start = now
        while machine.feed(Tick(now)) == []:
            now += 0.25
        waits.append(now - start)
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_type_two_goes_up_and_type_three_goes_to_every_edge() -> None:
    machine = relay()
    machine.feed(CutSeen("edge-a", 1))
    assert machine.feed(Tick(0.0)) == []  # no quorum yet
    machine.feed(QuorumSeen("edge-a", 1))
    assert machine.feed(Tick(0.0)) == [Carry("main", "edge-a", 1)]
    machine.feed(AcceptedSeen("main", "edge-a", 1))
    machine.feed(CutSeen("main", 1))
    machine.feed(QuorumSeen("main", 1))
    assert machine.feed(Tick(0.0)) == [Carry("edge-a", "main", 1), Carry("edge-b", "main", 1)]
    machine.feed(AcceptedSeen("edge-a", "main", 1))
    machine.feed(AcceptedSeen("edge-b", "main", 1))
    assert machine.feed(Tick(9.0)) == []
    assert machine.idle


def test_a_holder_that_is_behind_gets_every_anchor_in_order() -> None:
    machine = relay()
    machine.feed(CutSeen("main", 3))
    machine.feed(QuorumSeen("main", 3))
    machine.feed(AcceptedSeen("edge-a", "main", 3))
    for number in (1, 2, 3):
        assert machine.feed(Tick(0.0)) == [Carry("edge-b", "main", number)]
        machine.feed(AcceptedSeen("edge-b", "main", number))
    assert machine.feed(Tick(0.0)) == []


def test_the_next_cut_waits_for_the_last_ones_quorum() -> None:
    machine = relay()
    machine.feed(CutSeen("edge-a", 1))
    machine.feed(BlocksSeen("edge-a", 9, now=0.0))
    assert machine.feed(Tick(5.0)) == []
    machine.feed(QuorumSeen("edge-a", 1))
    assert FixNextCut("edge-a", 2) in machine.feed(Tick(5.0))


def test_without_news_nothing_is_submitted_for_ever() -> None:
    machine = relay()
    machine.feed(CutSeen("edge-a", 1))
    machine.feed(BlocksSeen("edge-a", 0, now=0.0))
    machine.feed(QuorumSeen("edge-a", 1))
    machine.feed(AcceptedSeen("main", "edge-a", 1))
    for tick in range(100):
        assert machine.feed(Tick(float(tick))) == []


def test_a_rolled_back_chain_is_neither_carried_nor_served() -> None:
    machine = relay()
    machine.feed(CutSeen("edge-a", 1))
    machine.feed(QuorumSeen("edge-a", 1))
    machine.feed(CutSeen("main", 1))
    machine.feed(QuorumSeen("main", 1))
    machine.feed(RollbackSeen("edge-a", "behind"))
    assert machine.feed(Tick(0.0)) == [Carry("edge-b", "main", 1)]
    (halted,) = machine.halted
    assert (halted.chain, halted.why) == ("edge-a", "behind")


def test_what_was_done_but_never_shows_is_tried_again() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 3, now=0.0))
    (command,) = machine.feed(Tick(0.0))
    machine.feed(Outcome(command, done=True, now=0.0))
    assert machine.feed(Tick(3.9)) == []
    assert machine.feed(Tick(4.0)) == [command]


def test_a_late_outcome_of_what_the_chain_already_showed_changes_nothing() -> None:
    machine = relay()
    machine.feed(BlocksSeen("edge-a", 3, now=0.0))
    (command,) = machine.feed(Tick(0.0))
    machine.feed(CutSeen("edge-a", 1))
    machine.feed(Outcome(command, done=False, now=0.0))
    machine.feed(QuorumSeen("edge-a", 1))
    machine.feed(BlocksSeen("edge-a", 3, now=0.0))
    assert set(machine.feed(Tick(0.0))) == {Carry("main", "edge-a", 1), FixNextCut("edge-a", 2)}
    assert machine.lag()["edge-a"] == 3


@given(st.lists(st.integers(min_value=0, max_value=5), max_size=20))
def test_news_counts_from_the_cut_on(counts: list[int]) -> None:
    machine = relay()
    for count in counts:
        machine.feed(BlocksSeen("edge-a", count, now=0.0))
    machine.feed(CutSeen("edge-a", 1))
    assert machine.lag()["edge-a"] == 0


class Interleavings(RuleBasedStateMachine):
    """Whatever the order of events, outcomes and crashes: all is anchored everywhere, then quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = {chain: {"news_after_cut": 0, "cut": 0} for chain in ("main", "edge-a", "edge-b")}
        self.held = {
            ("main", "edge-a"): 0,
            ("main", "edge-b"): 0,
            ("edge-a", "main"): 0,
            ("edge-b", "main"): 0,
        }
        self.now = 0.0
        self.machine = relay()

    def carry_out(self, command: FixNextCut | Carry) -> None:
        """What the contracts would do: a repeated or late command is refused without harm."""
        if isinstance(command, FixNextCut):
            chain = self.truth[command.chain]
            if command.number == chain["cut"] + 1:
                chain["cut"] = command.number
                chain["news_after_cut"] = 0
                self.machine.feed(CutSeen(command.chain, command.number))
                self.machine.feed(QuorumSeen(command.chain, command.number))
        else:
            key = (command.holder, command.chain)
            if command.number == self.held[key] + 1:
                self.held[key] = command.number
                self.machine.feed(AcceptedSeen(*key, command.number))
                if command.holder == "main":
                    self.add("main", 1)

    def add(self, chain: str, news: int) -> None:
        self.truth[chain]["news_after_cut"] += news
        self.machine.feed(BlocksSeen(chain, news, self.now))

    @rule(chain=st.sampled_from(("main", "edge-a", "edge-b")), news=st.integers(0, 4))
    def block(self, chain: str, news: int) -> None:
        self.add(chain, news)

    @rule(seconds=st.floats(0, 3), lost=st.booleans())
    def tick(self, seconds: float, lost: bool) -> None:
        self.now += seconds
        for command in self.machine.feed(Tick(self.now)):
            if not lost:
                self.carry_out(command)
            self.machine.feed(Outcome(command, not lost, self.now))

    @rule()
    def crash(self) -> None:
        """A new relay is fed what the chains say."""
        self.machine = relay()
        for chain, state in self.truth.items():
            if state["cut"]:
                self.machine.feed(CutSeen(chain, state["cut"]))
                self.machine.feed(QuorumSeen(chain, state["cut"]))
            self.machine.feed(BlocksSeen(chain, state["news_after_cut"], self.now))
        for (holder, chain), number in self.held.items():
            self.machine.feed(AcceptedSeen(holder, chain, number))

    @invariant()
    def comes_to_rest(self) -> None:
        """Never ahead of the truth."""
        for (_, chain), number in self.held.items():
            assert number <= self.truth[chain]["cut"]

    def teardown(self) -> None:
        for _ in range(60):
            self.tick(5.0, lost=False)
        assert self.machine.idle
        for (_, chain), number in self.held.items():
            assert number == self.truth[chain]["cut"]
        before = dict(self.held)
        for _ in range(100):
            self.now += 5.0
            assert self.machine.feed(Tick(self.now)) == []
        assert before == self.held


TestInterleavings = Interleavings.TestCase
