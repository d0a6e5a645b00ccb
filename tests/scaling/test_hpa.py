"""The HPA's rules against the worked examples of Kubernetes' documentation, and what must hold whatever the metric."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scaling.hpa import DOWN, SYNC_S, UP, Behavior, HorizontalAutoscaler, Policy, Rules, proposal

ONE_BY_ONE = Rules(0.0, (Policy("Pods", 1, 60.0),))
AT_ONCE = Behavior(Rules(0.0, (Policy("Pods", 1000, 15.0),)), Rules(0.0, (Policy("Pods", 1000, 15.0),)))


def run(behavior: Behavior, totals: Sequence[float | None], replicas: int = 1, most: int = 100) -> list[int]:
    """The replicas after each sync, with a target of 1 for each."""
    hpa = HorizontalAutoscaler(behavior, 1.0, 1, most)
    numbers = []
    for turn, total in enumerate(totals):
        replicas = hpa.sync(turn * SYNC_S, replicas, total).replicas
        numbers.append(replicas)
    return numbers


@pytest.mark.parametrize(
    ("total", "target", "replicas", "asked"),
    [
        (
            400,
            100,
            2,
            4,
        ),  # "if the current metric value is 200m, and the desired value is 100m, … doubled": 2 of 200 each
        (100, 100, 2, 1),  # "if the current value is instead 50m, you'll halve"
        (60, 8, 1, 8),
        (8, 8, 1, 1),
        (9, 8, 1, 2),
        (1, 8, 4, 1),
        (0, 8, 4, 0),
        (35, 8, 4, 4),  # 1.09: within the tolerance of 0.1
        (36, 8, 4, 5),
        (73, 8, 10, 10),  # 0.91
        (71, 8, 10, 9),
    ],
)
def test_each_replica_is_to_have_the_target(total: float, target: float, replicas: int, asked: int) -> None:
    assert proposal(total, target, replicas) == asked


def test_the_defaults_are_kubernetes() -> None:
    """The example `behavior` that its documentation gives for the defaults."""
    assert Behavior.parse({}) == Behavior(UP, DOWN)
    assert Rules(0.0, (Policy("Percent", 100, 15.0), Policy("Pods", 4, 15.0)), "Max") == UP
    assert Rules(300.0, (Policy("Percent", 100, 15.0),), "Max") == DOWN


def test_a_behavior_is_read_field_by_field() -> None:
    fields = {"scaleDown": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}], "selectPolicy": "Min"}}

    assert Behavior.parse(fields) == Behavior(UP, Rules(300.0, (Policy("Pods", 4, 60.0),), "Min"))


def test_the_most_permissive_policy_counts_as_in_the_documented_example() -> None:
    """80 replicas to 10 by "4 pods or 10 percent a minute", the window left out: 8, then 8 again (7.2, rounded up), and
    from 40 on 4 at a time."""
    policies = (Policy("Pods", 4, 60.0), Policy("Percent", 10, 60.0))
    behavior = Behavior(UP, Rules(0.0, policies))

    numbers = run(behavior, [10.0] * 61, replicas=80)

    by_minute = numbers[::4]
    assert by_minute[:4] == [72, 64, 57, 51]
    assert [one - after for one, after in pairwise(by_minute) if one <= 40][:5] == [4] * 5
    assert numbers[-1] == 10


def test_selecting_min_takes_the_policy_that_changes_least() -> None:
    rules = (Policy("Pods", 4, 60.0), Policy("Percent", 10, 60.0))

    assert run(Behavior(UP, Rules(0.0, rules, "Min")), [10.0], replicas=80) == [76]


def test_disabled_never_scales_in_that_direction() -> None:
    assert run(Behavior(UP, Rules(0.0, (Policy("Pods", 4, 60.0),), "Disabled")), [0.0] * 50, replicas=8) == [8] * 50


def test_by_default_it_doubles_or_adds_four_in_15_seconds() -> None:
    assert run(Behavior(UP, DOWN), [100.0] * 6) == [5, 10, 20, 40, 80, 100]


def test_a_policy_counts_from_what_there_was_when_its_period_began() -> None:
    assert run(Behavior(ONE_BY_ONE, DOWN), [9.0] * 9) == [2, 2, 2, 2, 3, 3, 3, 3, 4]


def test_the_window_holds_the_highest_recommendation_on_the_way_down() -> None:
    behavior = Behavior(AT_ONCE.up, Rules(60.0, AT_ONCE.down.policies))

    assert run(behavior, [5, 3, 4, 2, 2, 2, 2, 2]) == [5, 5, 5, 5, 4, 4, 2, 2]


def test_the_window_holds_the_lowest_recommendation_on_the_way_up() -> None:
    behavior = Behavior(Rules(60.0, AT_ONCE.up.policies), AT_ONCE.down)

    assert run(behavior, [1, 5, 4, 6, 6, 6]) == [1, 1, 1, 1, 4, 4]


def test_without_a_metric_nothing_changes_and_nothing_is_remembered() -> None:
    assert run(AT_ONCE, [4, None, None, 2]) == [4, 4, 4, 2]


def test_with_no_replica_at_all_it_sleeps() -> None:
    assert run(AT_ONCE, [50.0] * 3, replicas=0) == [0, 0, 0]


def test_what_is_out_of_bounds_is_brought_in_without_a_metric() -> None:
    assert run(AT_ONCE, [None], replicas=12, most=5) == [5]


policies = st.builds(
    Policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 20), st.sampled_from([15.0, 60.0, 120.0])
)
directions = st.builds(
    Rules,
    st.sampled_from([0.0, 30.0, 300.0]),
    st.lists(policies, min_size=1, max_size=2).map(tuple),
    st.sampled_from(["Max", "Min"]),
)
metrics = st.lists(st.one_of(st.none(), st.floats(0, 200)), min_size=1, max_size=60)


@given(st.builds(Behavior, directions, directions), metrics, st.integers(1, 30))
def test_it_stays_within_bounds(behavior: Behavior, totals: list[float | None], most: int) -> None:
    assert all(1 <= number <= most for number in run(behavior, totals, most=most))


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60), st.integers(1, 5), st.sampled_from([30.0, 60.0, 120.0]))
def test_it_never_removes_more_in_a_period_than_the_policy_allows(
    totals: list[float], value: int, period_s: float
) -> None:
    """Of what was there: what came within the period may go again."""
    falling = sorted(totals, reverse=True)
    numbers = run(Behavior(AT_ONCE.up, Rules(0.0, (Policy("Pods", value, period_s),))), falling, replicas=50)

    removed = [before - after for before, after in pairwise([50, *numbers])]
    turns = round(period_s / SYNC_S)
    assert all(0 <= sum(removed[start : start + turns]) <= value for start in range(len(removed)))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.sampled_from([30.0, 60.0, 300.0]))
def test_within_the_window_it_is_never_below_the_highest_recommendation(totals: list[float], window_s: float) -> None:
    numbers = run(Behavior(AT_ONCE.up, Rules(window_s, AT_ONCE.down.policies)), totals)
    replicas = 1
    asked = []
    for turn, (total, number) in enumerate(zip(totals, numbers, strict=True)):
        asked.append(proposal(total, 1.0, replicas))
        within = asked[max(0, turn - round(window_s / SYNC_S) + 1) :]
        assert number >= min(max(within), 100)
        replicas = number


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(1, 20), st.integers(1, 20))
def test_more_to_do_never_asks_for_fewer(one: float, other: float, target: int, replicas: int) -> None:
    assert proposal(min(one, other), target, replicas) <= proposal(max(one, other), target, replicas)
