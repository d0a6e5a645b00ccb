"""Which lengths share a batch."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.inference.batched.padding import Band, Padding, band_around

LENGTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=40)
MOST_PADDING = 0.25


def padded(rows: list[int]) -> float:
    """The part of a batch that is padding."""
    return 1 - sum(rows) / (max(rows) * len(rows))


@given(LENGTHS, st.data(), st.integers(1, 20))
def test_a_band_holds_its_row_and_any_of_its_lengths_go_together(
    waiting: list[int], data: st.DataObject, most: int
) -> None:
    row = data.draw(st.sampled_from(waiting))
    band = band_around(row, Counter(waiting), lambda _: most)
    assert row in band
    assert padded([band.shortest, band.longest]) <= MOST_PADDING / 2 + 1e-9


@given(LENGTHS, st.data(), st.integers(1, 20))
def test_no_other_band_makes_a_larger_batch_or_as_large_a_one_with_less_padding(
    waiting: list[int], data: st.DataObject, most: int
) -> None:
    row = data.draw(st.sampled_from(waiting))
    band = band_around(row, Counter(waiting), lambda _: most)

    def rows(longest: int) -> int:
        return min(most, sum(0.75 * longest <= length <= longest for length in waiting))

    others = [length for length in waiting if row <= length and 0.75 * length <= row]
    best = max(rows(longest) for longest in others)
    assert rows(band.longest) == best
    assert band.longest == min(longest for longest in others if rows(longest) == best)


def test_rows_of_one_length_are_a_band_of_their_own() -> None:
    assert 3000 in band_around(3000, Counter([3000] * 5), lambda _: 4)


def test_a_longer_batch_may_have_fewer_rows_and_is_judged_by_them() -> None:
    waiting = Counter([400, 400, 400, 500, 500])
    assert band_around(400, waiting, lambda frames: 8).longest == 500
    assert band_around(400, waiting, lambda frames: 8 if frames <= 400 else 2) == Band(300, 400)


@given(LENGTHS, LENGTHS)
def test_a_batch_takes_in_shorter_rows_only_while_little_of_it_is_padding(rows: list[int], shorter: list[int]) -> None:
    padding = Padding(rows)
    batch = list(rows)
    for frames in shorter:
        if frames <= max(rows) and padding.admits(frames):
            batch.append(frames)
            assert padded(batch) <= MOST_PADDING + 1e-9


def test_a_row_that_was_not_admitted_takes_no_room() -> None:
    padding = Padding([1000, 1000])
    assert not padding.admits(100)
    assert padding.admits(250)
