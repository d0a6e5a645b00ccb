"""How many rows a batch may have: by memory and by time."""

from hypothesis import given
from hypothesis import strategies as st

from tests.rows import PLAIN, STAMPED, WARMER
from transcriber_worker.inference.batched.caps import Cap, Pace

PROOF = 4
FIRST_WAIT_S = 30.0


def full_batches(cap: Cap, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        cap.went_well(cap.current, now)


def grown_to(cap: Cap, rows: int, now: float = 0.0) -> None:
    while cap.current < rows:
        full_batches(cap, PROOF, now)


def test_memory_for_one_row_bounds_a_batch_by_its_frames() -> None:
    cap = Cap(16, row_bytes=lambda frames: frames * 10, budget_bytes=90_000)
    assert cap.rows(3000) == 3
    assert cap.rows(1000) == 9
    assert cap.rows(100) == 16


def test_a_row_that_is_too_much_for_the_budget_is_tried_all_the_same() -> None:
    assert Cap(16, row_bytes=lambda frames: 10, budget_bytes=9).rows(3000) == 1


def test_out_of_memory_halves_what_failed() -> None:
    cap = Cap(16)
    cap.out_of_memory(16, 0.0)
    assert cap.rows(3000) == 8
    cap.out_of_memory(5, 0.0)
    assert cap.rows(3000) == 2


def test_a_second_batch_that_was_already_running_when_the_cap_was_halved_says_nothing_new() -> None:
    cap = Cap(16)
    cap.out_of_memory(16, 0.0)
    cap.out_of_memory(16, 0.0)
    assert cap.current == 8


def test_it_grows_back_by_one_row_after_some_full_batches_that_went_well() -> None:
    cap = Cap(16)
    cap.out_of_memory(16, 0.0)
    full_batches(cap, PROOF - 1)
    assert cap.current == 8
    full_batches(cap, 1)
    assert cap.current == 9


def test_batches_that_are_not_full_prove_nothing() -> None:
    cap = Cap(16)
    cap.out_of_memory(16, 0.0)
    for _ in range(100):
        cap.went_well(7, 0.0)
    assert cap.current == 8


def test_the_size_that_failed_is_tried_again_after_a_wait_and_the_wait_doubles_as_it_fails_again() -> None:
    cap = Cap(16)
    now, wait_s = 0.0, FIRST_WAIT_S
    cap.out_of_memory(16, now)
    for _ in range(3):
        grown_to(cap, 15, now)
        full_batches(cap, 10 * PROOF, now + wait_s - 1)
        assert cap.current == 15
        now += wait_s
        full_batches(cap, 1, now)
        assert cap.current == 16
        cap.out_of_memory(16, now)
        assert cap.current == 8
        wait_s *= 2


def test_once_the_size_that_failed_went_well_the_waits_are_short_again() -> None:
    cap = Cap(16)
    for now in (0.0, 1000.0):
        cap.out_of_memory(16, now)
        grown_to(cap, 15, now)
        grown_to(cap, 16, now + 1000.0)
    full_batches(cap, PROOF, 5000.0)
    cap.out_of_memory(16, 5000.0)
    grown_to(cap, 15, 5000.0)
    full_batches(cap, PROOF, 5000.0 + FIRST_WAIT_S)
    assert cap.current == 16


@given(
    st.integers(1, 32),
    st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.floats(0, 500))),
    st.integers(1, 10_000),
)
def test_it_is_never_below_one_nor_above_what_was_set(
    most: int, steps: list[tuple[bool, int, float]], budget: int
) -> None:
    cap = Cap(most, row_bytes=lambda frames: frames, budget_bytes=budget)
    now = 0.0
    for failed, rows, passed_s in steps:
        now += passed_s
        before = cap.current
        if failed:
            cap.out_of_memory(rows, now)
            assert cap.current <= before
        else:
            cap.went_well(rows, now)
            assert before <= cap.current <= before + 1
        assert 1 <= cap.rows(3000) <= cap.current <= most
        assert cap.rows(3000) * 3000 <= max(3000, budget)


def test_nothing_is_known_of_time_before_the_first_batch() -> None:
    assert Pace(8.0).rows(PLAIN, 3000) is None


def test_a_batch_has_as_many_rows_as_are_expected_to_be_done_in_time() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=4, frames=3000, seconds=4.0)
    assert pace.rows(PLAIN, 3000) == 8
    assert pace.rows(PLAIN, 1500) == 16
    assert pace.rows(PLAIN, 600) == 40


def test_a_row_that_takes_too_long_is_decoded_all_the_same() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=60.0)
    assert pace.rows(PLAIN, 3000) == 1


def test_timestamps_and_sampling_are_timed_apart_and_taken_for_the_slowest_known_until_then() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=1.0)
    pace.took(STAMPED, rows=1, frames=3000, seconds=2.0)
    assert pace.rows(PLAIN, 3000) == 8
    assert pace.rows(STAMPED, 3000) == 4
    assert pace.rows(WARMER, 3000) == 4
    pace.took(WARMER, rows=1, frames=3000, seconds=4.0)
    assert pace.rows(WARMER, 3000) == 2


def test_one_slow_batch_is_soon_forgotten() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=30.0)
    for _ in range(20):
        pace.took(PLAIN, rows=1, frames=3000, seconds=0.5)
    assert (pace.rows(PLAIN, 3000) or 0) >= 12


def test_a_clock_that_stood_still_sets_no_bound() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=0.0)
    assert pace.rows(PLAIN, 3000) is None
