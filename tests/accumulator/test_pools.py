import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from accumulator import Cancelled, NotPrimeRepresentative, OutOfRange, all_membership_witnesses, pools
from accumulator.pools import WitnessPool


@pytest.fixture(scope="module")
def pool():
    with WitnessPool(2) as pool:
        pool.warm()
        yield pool


@pytest.fixture(scope="module")
def long(range_of, parameters):
    return range_of(parameters, 301, "pool")


def test_the_same_witnesses_as_in_one_process(parameters, pool, long):
    before = long.value_after  # a later range: it begins at an anchor
    seen = []
    made = pool.all_membership_witnesses(
        parameters, before, long.primes, progress=lambda *args: seen.append(args)
    )
    assert made == all_membership_witnesses(parameters, before, long.primes)
    assert seen == sorted(seen)
    assert seen[-1] == (301, 301)
    assert len(seen) > 2


@pytest.mark.parametrize("count", [0, 1, 95, 96, 97])
def test_small_ranges(parameters, pool, long, count):
    primes = long.primes[:count]
    made = pool.all_membership_witnesses(parameters, parameters.generator, primes)
    assert made == all_membership_witnesses(parameters, parameters.generator, primes)


@pytest.mark.parametrize("count", [0, 40, 301])
def test_witnesses_are_handed_over_as_they_are_made(parameters, pool, long, count):
    handed = {}

    def take(first, witnesses):
        handed.update(enumerate(witnesses, first))

    made = pool.all_membership_witnesses(parameters, parameters.generator, long.primes[:count], each=take)
    assert [handed[position] for position in range(count)] == made


def handed_over_until_stopped(parameters, pool, long):
    """What is handed over where the caller says to stop after the first group: position to witness."""
    handed = {}
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(
            parameters,
            parameters.generator,
            long.primes,
            each=lambda first, witnesses: handed.update(enumerate(witnesses, first)),
            cancelled=lambda: bool(handed),
        )
    return handed


def test_what_was_handed_over_before_a_cancellation_is_right(parameters, pool, long):
    handed = handed_over_until_stopped(parameters, pool, long)
    assert 0 < len(handed) < 301
    assert all(long.witnesses[position] == witness for position, witness in handed.items())


def test_cancelled_before_and_between(parameters, pool, long):
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(parameters, parameters.generator, long.primes, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(
            parameters, parameters.generator, long.primes[:3], cancelled=lambda: True
        )
    done = []
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(
            parameters,
            parameters.generator,
            long.primes,
            progress=lambda made, whole: done.append(made),
            cancelled=lambda: bool(done),
        )
    assert 0 < done[-1] < 301
    # The pool goes on.
    made = pool.all_membership_witnesses(parameters, parameters.generator, long.primes)
    assert made == long.witnesses


class AtOnce(Executor):
    """Has done all that it was given before anybody can ask whether to stop."""

    def submit(self, work, *given, **named):
        done = Future()
        done.set_result(work(*given, **named))
        return done


def test_cancelled_though_all_groups_were_made_at_once(parameters, long, monkeypatch):
    monkeypatch.setattr(pools, "ProcessPoolExecutor", lambda *_, **__: AtOnce())
    with WitnessPool(2) as pool:
        handed = handed_over_until_stopped(parameters, pool, long)
    assert 0 < len(handed) <= pools._GROUP


def test_refusals(parameters, pool, long):
    with pytest.raises(OutOfRange):
        pool.all_membership_witnesses(parameters, 1, long.primes)
    with pytest.raises(NotPrimeRepresentative):
        pool.all_membership_witnesses(parameters, parameters.generator, [*long.primes, 4])


def test_one_worker_starts_no_process(parameters, long):
    with WitnessPool(1) as alone:
        alone.warm()
        assert alone.all_membership_witnesses(parameters, parameters.generator, long.primes) == long.witnesses
        assert alone._executor is None


OWNER = """
import time
from accumulator.pools import WitnessPool
if __name__ == "__main__":
    pool = WitnessPool(2)
    pool.warm()
    print(*pool._executor._processes, flush=True)
    time.sleep(60)
"""


def test_workers_end_when_their_owner_is_killed(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as owner:
        workers = [int(word) for word in owner.stdout.readline().split()]
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, 0)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    end = time.monotonic() + 20
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # What has ended and waits to be reaped by whoever inherited it has no command line.
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def test_threads_that_come_at_once_share_one_executor(monkeypatch):
    made = []

    class Slow:
        def __init__(self, *args, **options):
            time.sleep(0.05)
            made.append(self)

        def submit(self, work):
            done = Future()
            done.set_result(work())
            return done

        def shutdown(self, **options):
            made.remove(self)

    monkeypatch.setattr("accumulator.pools.ProcessPoolExecutor", Slow)
    with WitnessPool(2) as pool:
        threads = [threading.Thread(target=pool.warm) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
    assert made == []
