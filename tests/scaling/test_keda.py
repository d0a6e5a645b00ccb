"""KEDA's part: from and to zero, errors, fallback; with the values that the chart has by default."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scaling.hpa import SYNC_S
from tests.scaling.keda import Autoscaler, Release, ScaledObject, kafka_metric

VALUES: dict[str, Any] = {
    "minReplicas": 0,
    "maxReplicas": 4,
    "messagesPerWorker": 8,
    "pollingInterval": 15,
    "cooldownPeriod": 600,
    "fallback": {"failureThreshold": 4, "replicas": 1},
    "behavior": {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}],
        },
    },
}
MINUTE = 4
"""Turns."""
KEEP = {"failureThreshold": 4, "replicas": 1, "behavior": "currentReplicasIfHigher"}


def run(
    metrics: Sequence[float | None], release: Release = Release.FROM_ZERO_TOO, replicas: int = 0, **values: Any
) -> list[int]:
    """The replicas after each turn; `values`: other ones than the chart's."""
    scaler = Autoscaler(ScaledObject.of({**VALUES, **values}), release, replicas)
    return [scaler.step(turn * SYNC_S, metric).replicas for turn, metric in enumerate(metrics)]


def test_the_first_message_wakes_one_worker_and_the_next_sync_the_rest() -> None:
    assert run([0, 60, 60]) == [0, 1, 4]


def test_with_a_minimum_the_minimum_is_woken() -> None:
    assert run([0, 1], minReplicas=2) == [2, 2]


def test_a_poll_comes_every_polling_interval() -> None:
    assert run([0, 1, 1, 1], pollingInterval=45) == [0, 0, 0, 1]


def test_to_zero_it_goes_from_whatever_there_is_when_the_cooldown_is_over() -> None:
    numbers = run([32] * 4 + [0] * 50)

    assert numbers[4 : 4 + 10 * MINUTE - 1] == [4] * (10 * MINUTE - 1)
    assert numbers[-1] == 0
    assert numbers.index(0) * SYNC_S > 3 * SYNC_S + 600


def test_one_message_in_work_keeps_its_worker_however_long_it_takes() -> None:
    assert run([1] * 400)[1:] == [1] * 399


def test_scaling_in_goes_one_by_one_after_the_window() -> None:
    numbers = run([32] * 4 + [1] * 100)

    changes = [turn for turn in range(1, len(numbers)) if numbers[turn] < numbers[turn - 1]]
    assert [numbers[turn] for turn in changes] == [3, 2, 1]
    assert (changes[0] - 3) * SYNC_S == 600
    assert [(after - before) * SYNC_S for before, after in pairwise(changes)] == [120, 120]


def test_up_to_2_16_the_first_error_cuts_the_workers_down_to_the_fallback() -> None:
    assert run([32] * 4 + [None], Release.FIRST_ERROR)[3:] == [4, 1]
    assert run([32] * 4 + [None], Release.FIRST_ERROR, fallback=KEEP)[3:] == [4, 1], "it does not know `behavior`"


@pytest.mark.parametrize("release", [Release.AFTER_THRESHOLD, Release.FROM_ZERO_TOO])
def test_from_2_17_on_an_error_changes_nothing_until_the_window_is_over(release: Release) -> None:
    numbers = run([32] * 4 + [None] * 100, release)

    first = next(turn for turn, number in enumerate(numbers) if turn > 1 and number < 4)
    assert (first - 3) * SYNC_S == 600, "the last real recommendation is held that long"
    assert numbers[-1] == 1


@pytest.mark.parametrize("release", [Release.AFTER_THRESHOLD, Release.FROM_ZERO_TOO])
def test_a_fallback_to_the_current_workers_keeps_them_however_long_it_lasts(release: Release) -> None:
    assert run([32] * 4 + [None] * 400, release, fallback=KEEP)[-1] == 4


def test_the_fallback_counts_only_errors_in_a_row() -> None:
    numbers = run([8] * 2 + [None, None, None, None, 8] * 20, Release.AFTER_THRESHOLD, fallback={**KEEP, "replicas": 3})

    assert set(numbers[2:]) == {1}


def test_the_fallback_raises_too_when_the_errors_pass_the_threshold() -> None:
    numbers = run([8] * 2 + [None] * 6, Release.AFTER_THRESHOLD, fallback={**KEEP, "replicas": 3})

    assert numbers[2:] == [1, 1, 1, 1, 3, 3]


@pytest.mark.parametrize(
    ("release", "numbers"),
    [
        (Release.FIRST_ERROR, [0, 1, 1, 1, 1, 1, 1, 1]),
        (Release.AFTER_THRESHOLD, [0] * 8),
        (Release.FROM_ZERO_TOO, [0, 0, 0, 0, 0, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("fallback", [VALUES["fallback"], KEEP])
def test_out_of_zero_a_fallback_leads_before_2_17_and_after_2_18(
    release: Release, numbers: list[int], fallback: Mapping[str, Any]
) -> None:
    assert run([0] + [None] * 7, release, fallback=fallback) == numbers


@pytest.mark.parametrize("release", list(Release))
def test_without_a_fallback_errors_leave_everything_as_it_is(release: Release) -> None:
    assert run([32] * 4 + [None] * 400, release, fallback={})[-1] == 4
    assert run([0] + [None] * 400, release, fallback={})[-1] == 0


def test_an_unknown_fallback_behavior_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no fallback\.behavior currentReplica$"):
        run([8] * 2 + [None] * 6, fallback={**KEEP, "behavior": "currentReplica"})


@pytest.mark.parametrize(
    ("lag", "bound", "metric"),
    [(0, 0, 0), (5, 1, 5), (8, 1, 8), (15, 1, 15), (16, 1, 8), (100, 4, 32), (39, 4, 39), (40, 4, 32)],
)
def test_kafkas_lag_asks_for_no_more_workers_than_can_share_it(lag: int, bound: int, metric: int) -> None:
    """Whole multiples are cut; a rest above them is not, as in KEDA: 39 / 8 = 4, so that the HPA is told 39 and asks
    for 5. `maxReplicas` is what surely bounds it."""
    assert kafka_metric(lag, bound, 8) == metric


answers = st.lists(st.one_of(st.none(), st.integers(0, 200)), min_size=1, max_size=120)


@given(answers, st.sampled_from(Release), st.integers(0, 3))
def test_it_stays_within_the_charts_bounds(metrics: list[int | None], release: Release, least: int) -> None:
    numbers = run(metrics, release, replicas=least, minReplicas=least)

    lowest = min(least, 1) if release is Release.FIRST_ERROR else least  # its fallback does not ask what the minimum is
    assert all(lowest <= number <= 4 for number in numbers)


@given(answers, st.sampled_from([Release.AFTER_THRESHOLD, Release.FROM_ZERO_TOO]))
def test_while_something_is_left_to_do_no_worker_is_the_last_to_go(metrics: list[int | None], release: Release) -> None:
    busy = [None if one is None else one + 1 for one in metrics]

    assert all(number >= 1 for number in run(busy, release, replicas=1))


@given(answers)
def test_without_errors_all_releases_do_the_same(metrics: list[int | None]) -> None:
    known = [one or 0 for one in metrics]

    first, *others = (run(known, release) for release in Release)
    assert others == [first, first]
