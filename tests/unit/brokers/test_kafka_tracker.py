"""The offset tracker against a model that remembers everything."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.brokers.kafka_tracker import PartitionTracker

GAPS = st.lists(st.integers(1, 4), min_size=1, max_size=40)
"""How far each delivered offset lies behind the one before: more than 1 where the log has holes."""


@dataclass
class NaiveTracker:
    """Every offset delivered, every offset finished, and the definition of what may be committed."""

    delivered: list[int] = field(default_factory=list)
    finished: set[int] = field(default_factory=set)

    @property
    def position(self) -> int | None:
        if not self.delivered:
            return None
        unfinished = [offset for offset in self.delivered if offset not in self.finished]
        return unfinished[0] if unfinished else self.delivered[-1] + 1


def offsets_of(first: int, gaps: list[int]) -> list[int]:
    offsets = [first]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    return offsets


@given(st.integers(0, 1000), GAPS, st.data())
def test_it_agrees_with_a_naive_tracker_whatever_the_order(first: int, gaps: list[int], data: st.DataObject) -> None:
    tracker, naive = PartitionTracker(), NaiveTracker()
    waiting = offsets_of(first, gaps)
    while waiting or len(naive.finished) < len(naive.delivered):
        unfinished = sorted(set(naive.delivered) - naive.finished)
        if waiting and (not unfinished or data.draw(st.booleans())):
            offset = waiting.pop(0)
            assert tracker.deliver(offset)
            naive.delivered.append(offset)
        else:
            offset = data.draw(st.sampled_from(unfinished))
            tracker.finish(offset)
            naive.finished.add(offset)
        assert tracker.position == naive.position
        assert tracker.span == naive.delivered[-1] + 1 - (naive.position or 0)

    assert tracker.position == offsets_of(first, gaps)[-1] + 1
    assert tracker.span == 0


@given(GAPS, st.data())
def test_nothing_unfinished_is_ever_committed_and_it_never_goes_back(gaps: list[int], data: st.DataObject) -> None:
    tracker = PartitionTracker()
    offsets = offsets_of(0, gaps)
    for offset in offsets:
        tracker.deliver(offset)
    unfinished, before = set(offsets), 0
    for offset in data.draw(st.permutations(offsets)):
        tracker.finish(offset)
        unfinished.discard(offset)
        assert tracker.position is not None
        assert tracker.position >= before
        assert all(offset >= tracker.position for offset in unfinished)
        before = tracker.position


@given(GAPS, st.data())
def test_a_second_delivery_is_none(gaps: list[int], data: st.DataObject) -> None:
    tracker = PartitionTracker()
    offsets = offsets_of(7, gaps)
    for offset in offsets:
        tracker.deliver(offset)
    finished = data.draw(st.sets(st.sampled_from(offsets)))
    for offset in finished:
        tracker.finish(offset)
    before = tracker.position

    assert not any(tracker.deliver(offset) for offset in offsets)
    assert tracker.position == before


@given(st.integers(0, 50), st.integers(0, 50), GAPS)
def test_ends_of_an_older_assignment_change_nothing(stranger: int, first: int, gaps: list[int]) -> None:
    """A job that outlasted its partition's stay elsewhere ends a message that this tracker has not seen."""
    tracker, offsets = PartitionTracker(), offsets_of(first, gaps)
    tracker.finish(stranger)
    for offset in offsets:
        assert tracker.deliver(offset)

    if stranger not in offsets:
        tracker.finish(stranger)

    assert tracker.position == first


def test_before_the_first_message_there_is_nothing_to_commit() -> None:
    tracker = PartitionTracker()

    assert tracker.position is None
    assert tracker.span == 0
    assert tracker.next_offset == 0
