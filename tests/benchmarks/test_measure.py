from __future__ import annotations

import time

import pytest

from benchmarks.measure import (
    closed_loop,
    interleaved_ms,
    latencies,
    median_ms,
    median_row,
    open_loop,
    percentile,
    rotated,
)


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1), (0.0, 1)]
)
def test_percentile_is_the_nearest_rank(fraction: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), fraction) == expected


def test_percentile_of_few_values() -> None:
    assert [percentile([3.0, 1.0], fraction) for fraction in (0.5, 0.51)] == [1.0, 3.0]
    assert percentile([7.0], 0.95) == 7.0


def test_latencies_count_failures_out_of_the_rate_only() -> None:
    row = latencies([0.1, 0.3, 0.2, 0.4], 1, 2.0)
    assert (row.count, row.failed, row.tx_per_s) == (4, 1, 1.5)
    assert (row.avg_s, row.max_s, row.p50_s) == (pytest.approx(0.25), 0.4, 0.2)


def test_median_row_takes_medians_and_adds_failures_up() -> None:
    runs = [latencies([seconds], failed, 1.0) for seconds, failed in ((0.3, 0), (0.1, 1), (0.2, 1))]
    row = median_row(runs)
    assert (row["avg_s"], row["failed"], row["count"]) == (0.2, 2, 1)


def test_every_name_comes_first_in_turn() -> None:
    assert [rotated("abc", turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_interleaved_actions_run_in_turns_after_one_round_of_warming_up() -> None:
    order: list[str] = []
    medians = interleaved_ms(
        {"slow": lambda: (order.append("s"), time.sleep(0.01)), "quick": lambda: order.append("q")}, 2
    )
    assert "".join(order) == "sq" + "sq" + "qs"
    assert medians["slow"] >= 10 > medians["quick"]


def test_median_is_over_the_repeats_without_the_first_call() -> None:
    pauses = iter([0.05, 0.0, 0.0, 0.0])
    assert median_ms(lambda: time.sleep(next(pauses)), 3) < 40


def test_closed_loop_lets_each_client_do_its_share_one_by_one() -> None:
    seen: list[tuple[int, int]] = []

    def action(client: int, number: int) -> None:
        seen.append((client, number))
        if (client, number) == (1, 2):
            raise OSError("refused")

    row = closed_loop(3, 4, action)
    assert sorted(seen) == [(client, number) for client in range(3) for number in range(4)]
    assert [number for client, number in seen if client == 1] == [0, 1, 2, 3]
    assert (row.count, row.failed) == (12, 1)


def test_open_loop_counts_waiting_for_a_worker_as_latency() -> None:
    row = open_loop(rate=1000.0, count=5, workers=1, action=lambda number: time.sleep(0.02))
    # The fifth is due after 4 ms, and done after five turns of 20 ms.
    assert row.max_s > 0.08
    assert row.p50_s > 0.04
    assert row.tx_per_s < 60


def test_open_loop_keeps_its_rate() -> None:
    row = open_loop(rate=100.0, count=10, workers=4, action=lambda number: None)
    assert row.count == 10
    assert row.tx_per_s <= 100 * 10 / 9
