"""The proof service: equal requests share one proof, work and memory are bounded, jobs can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from hung_ledger import HungLedger
from world import MAIN, World, build_world

import accumulator
from accumulator import Cancelled
from gateway.problems import Refusal
from gateway.proving import JobState, ProofService
from ledger.index import ChainIndex
from ledger.proof_errors import NotIndexed
from ledger.proofs import Prover
from protocol.bundle import Bundle, ProvenElement, parse_bundle, serialise_bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build_world(tmp_path_factory.mktemp("world"))
    device = made.devices["edge-a", "meter-1"]
    for value in range(4):
        made.submit_contents(device, [b"proving %d %d" % (value, each) for each in range(3)])
        made.interlock()
    yield made
    made.close()


class Counting(Prover):
    """A prover that says how many it serves at once, and waits where it is told to."""

    def __init__(self, world: World) -> None:
        super().__init__(world.indexes, world.ledgers)
        self.made: list[bytes] = []
        self.beside = self.most = 0
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Semaphore(0)
        self._lock = threading.Lock()

    def record_bundle(
        self,
        chain: str,
        record: bytes,
        holder: str | None = None,
        profile: str = "compact",
        *,
        turn: AbstractContextManager[object] | None = None,
    ) -> Bundle:
        with turn or nullcontext():
            with self._lock:
                self.made.append(record)
                self.beside += 1
                self.most = max(self.most, self.beside)
            self.entered.release()
            try:
                assert self.go.wait(20)
                return super().record_bundle(chain, record, holder, profile)
            finally:
                with self._lock:
                    self.beside -= 1


def records(world: World, count: int = 8) -> list[bytes]:
    return [record for record, _ in zip(world.records["edge-a"], range(count), strict=False)]


def test_many_clients_at_once_get_the_provers_own_bundles(world: World) -> None:
    prover = Counting(world)
    service = ProofService(prover, workers=2)
    wanted = records(world)
    expected = {each: serialise_bundle(world.prover.record_bundle("edge-a", each)) for each in wanted}
    with ThreadPoolExecutor(12) as pool:
        asked = [
            (each, pool.submit(service.record_bundle, "edge-a", each, None, "compact"))
            for _ in range(10)
            for each in wanted
        ]
        for record, answer in asked:
            assert answer.result() == expected[record]
    assert sorted(prover.made) == sorted(wanted)  # each once
    assert prover.most <= 2


def test_memberships_of_all_chains_and_ranges_at_once_verify(world: World) -> None:
    service = ProofService(world.prover, workers=3)
    wanted = [
        (chain, number)
        for chain, index in world.indexes.items()
        for number in range(1, index.statements()[-1].last + 1)
    ]
    with ThreadPoolExecutor(8) as pool:
        proven: list[ProvenElement] = list(pool.map(lambda each: service.membership(*each), wanted))
    assert {(MAIN, 1), ("edge-a", 1)} <= {one.key for one in proven}
    assert len({(one.chain, one.anchor) for one in proven}) > 6
    for one in proven:
        index = world.indexes[one.chain]
        value = accumulator.decode_value(index.parameters, index.statement(one.anchor).value_after)
        prime = accumulator.check_certificate(index.element(one.number).element.digest(), one.offset)
        witness = accumulator.decode_value(index.parameters, one.witness)
        accumulator.verify_membership(index.parameters, value, prime, witness)


def test_equal_requests_wait_for_one_proof_and_share_its_error(world: World) -> None:
    prover = Counting(world)
    service = ProofService(prover, workers=4)
    prover.go.clear()
    missing = bytes(32)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(service.record_bundle, "edge-a", missing, None, "compact")
        assert prover.entered.acquire(timeout=10)
        others = [pool.submit(service.record_bundle, "edge-a", missing, None, "compact") for _ in range(4)]
        prover.go.set()
        for each in (first, *others):
            with pytest.raises(NotIndexed):
                each.result(20)
    assert not service._under_way
    prover.made.clear()
    with pytest.raises(NotIndexed):  # an error is not kept
        service.record_bundle("edge-a", missing, None, "compact")
    assert prover.made == [missing]


def test_beyond_what_may_wait_is_refused_and_room_comes_back(world: World) -> None:
    prover = Counting(world)
    service = ProofService(prover, workers=1, waiting=2)
    one, two, three = records(world, 3)
    prover.go.clear()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(service.record_bundle, "edge-a", one, None, "compact")
        assert prover.entered.acquire(timeout=10)
        waits = pool.submit(service.record_bundle, "edge-a", two, None, "compact")
        while service._room._value:  # type: ignore[attr-defined]
            pass
        with pytest.raises(Refusal) as refused:
            service.record_bundle("edge-a", three, None, "compact")
        assert (refused.value.problem.slug, refused.value.problem.retry_after) == ("proofs-overloaded", 1)
        prover.go.set()
        running.result(20)
        waits.result(20)
    assert parse_bundle(service.record_bundle("edge-a", three, None, "compact"))


@pytest.mark.parametrize("hung", [MAIN, "edge-b"])
def test_requests_for_a_chain_that_hangs_stop_no_proof_of_another(
    world: World, tmp_path: Path, hung: str
) -> None:
    ledger = HungLedger(world.ledgers[hung])
    index = ChainIndex(ledger, world.parameters[hung], tmp_path / "index")
    prover = Prover({**world.indexes, hung: index}, {**world.ledgers, hung: ledger})
    service = ProofService(prover, workers=2)
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(service.membership, hung, number) for number in (1, 2)]
        waits.append(pool.submit(service.record_bundle, "edge-a", records(world, 1)[0], None, "compact"))
        try:
            assert ledger.asked.wait(20)
            assert pool.submit(service.membership, "edge-a", 1).result(20).key == ("edge-a", 1)
            assert not any(each.done() for each in waits)
        finally:
            ledger.go.set()
        assert [each.result(20).number for each in waits[:2]] == [1, 2]  # type: ignore[union-attr]
        assert parse_bundle(waits[2].result(20))
    index.close()


def test_kept_bundles_are_bounded_in_bytes_and_age(world: World) -> None:
    prover = Counting(world)
    now = [0.0]
    wanted = records(world, 4)
    size = len(serialise_bundle(world.prover.record_bundle("edge-a", wanted[0])))
    service = ProofService(prover, cache_bytes=size * 5 // 2, cache_seconds=10, clock=lambda: now[0])
    for each in wanted:
        service.record_bundle("edge-a", each, None, "compact")
    assert service._cache._size == sum(len(raw) for _, raw in service._cache._held.values())
    assert len(service._cache._held) == 2
    prover.made.clear()
    service.record_bundle("edge-a", wanted[-1], None, "compact")
    assert prover.made == []
    service.record_bundle("edge-a", wanted[0], None, "compact")
    now[0] = 11
    service.record_bundle("edge-a", wanted[0], None, "compact")
    assert prover.made == [wanted[0], wanted[0]]
    small = ProofService(prover, cache_bytes=10)
    small.record_bundle("edge-a", wanted[0], None, "compact")
    assert not small._cache._held


# ------------------------------------------------------------------ jobs


class Slow(Counting):
    """Makes witnesses one at a time, each when it is let."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.steps = threading.Semaphore(0)
        self.started: list[tuple[str, int]] = []

    def prepare_witnesses(self, chain, anchor, progress=None, cancelled=None):  # type: ignore[no-untyped-def]
        self.started.append((chain, anchor))
        self.entered.release()
        if chain == "nowhere":
            raise NotIndexed("no such chain")
        if chain == "broken":
            raise ZeroDivisionError("a secret")
        for made in range(1, 4):
            assert self.steps.acquire(timeout=20)
            if cancelled():
                raise Cancelled("stopped")
            progress(made, 3)


def wait_for(service: ProofService, chain: str, anchor: int, *states: JobState) -> None:
    for _ in range(2000):
        job = service.job(chain, anchor)
        assert job is not None
        if job.state in states:
            return
        threading.Event().wait(0.005)
    raise AssertionError(f"still {job.state}")


def test_a_job_makes_all_witnesses_of_a_range(world: World, tmp_path: Path) -> None:
    service = ProofService(world.prover)
    anchor = world.indexes["edge-a"].statements()[-1]
    assert service.job("edge-a", anchor.number) is None
    assert service.start("edge-a", anchor.number).state in JobState
    wait_for(service, "edge-a", anchor.number, JobState.DONE)
    job = service.job("edge-a", anchor.number)
    assert job is not None
    assert job.made == job.whole == anchor.last - anchor.first + 1
    assert service.start("edge-a", anchor.number) == job  # done is done
    service.close()


def test_jobs_run_one_after_the_other_show_progress_and_stop(world: World) -> None:
    prover = Slow(world)
    service = ProofService(prover)
    service.start("edge-a", 1)
    service.start("edge-a", 2)
    service.start("edge-a", 1)
    assert prover.entered.acquire(timeout=10)
    prover.steps.release()
    while service.job("edge-a", 1).made != 1:  # type: ignore[union-attr]
        pass
    assert service.job("edge-a", 2).state is JobState.WAITING  # type: ignore[union-attr]
    assert service.cancel("edge-a", 2).state is JobState.CANCELLED  # type: ignore[union-attr]
    assert service.cancel("edge-a", 1).cancelled  # type: ignore[union-attr]
    with pytest.raises(Refusal):
        service.start("edge-a", 1)
    prover.steps.release()
    wait_for(service, "edge-a", 1, JobState.CANCELLED)
    assert prover.started == [("edge-a", 1)]
    prover.steps.release(3)
    service.start("edge-a", 1)
    wait_for(service, "edge-a", 1, JobState.DONE)
    service.start("nowhere", 1)
    wait_for(service, "nowhere", 1, JobState.FAILED)
    assert "no such chain" in service.job("nowhere", 1).reason  # type: ignore[union-attr]
    assert service.cancel("edge-b", 5) is None
    service.close()
    with pytest.raises(Refusal):
        service.start("edge-a", 9)


def test_jobs_are_bounded(world: World) -> None:
    prover = Slow(world)
    service = ProofService(prover)
    for anchor in range(64):
        service.start("edge-a", anchor)
    with pytest.raises(Refusal) as refused:
        service.start("edge-a", 64)
    assert refused.value.problem.slug == "proofs-overloaded"
    service.cancel("edge-a", 5)
    service.start("edge-a", 64)
    assert service.job("edge-a", 5) is None
    for anchor in range(65):
        service.cancel("edge-a", anchor)
    prover.steps.release(10)
    service.close()


def test_cancelled_jobs_leave_the_queue_at_once_and_are_never_run(world: World) -> None:
    prover = Slow(world)
    service = ProofService(prover)
    service.start("edge-a", 1)
    assert prover.entered.acquire(timeout=10)
    for _ in range(500):
        service.start("edge-a", 2)
        service.cancel("edge-a", 2)
    assert not service._waiting
    assert len(service._jobs) == 2
    service.start("edge-a", 2)
    service.start("edge-a", 3)
    prover.steps.release(9)
    wait_for(service, "edge-a", 3, JobState.DONE)
    assert prover.started == [("edge-a", 1), ("edge-a", 2), ("edge-a", 3)]  # each once
    service.close()


def test_a_failure_is_logged_with_its_reason_and_the_next_job_runs(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    prover = Slow(world)
    service = ProofService(prover)
    prover.steps.release(3)
    for chain, said in (("broken", "a fault of the gateway"), ("nowhere", "no such chain")):
        service.start(chain, 7)
        wait_for(service, chain, 7, JobState.FAILED)
        assert said in service.job(chain, 7).reason  # type: ignore[union-attr]
    assert "a secret" not in service.job("broken", 7).reason  # type: ignore[union-attr]
    assert "witnesses of anchor 7 of broken" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "witnesses of anchor 7 of nowhere: no such chain" in caplog.text
    service.start("edge-a", 1)
    wait_for(service, "edge-a", 1, JobState.DONE)
    assert service.job("edge-a", 1).reason == ""  # type: ignore[union-attr]
    service.start("nowhere", 7)  # a failed one may be asked for again
    service.close()
    assert not [each for each in threading.enumerate() if each.name == "witnesses"]
