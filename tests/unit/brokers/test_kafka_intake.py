"""What a worker has fetched, while partitions come and go."""

import pytest

from tests.builders import NOW, make_message
from transcriber_worker.brokers.kafka_intake import HELD_FACTOR, LEAST_HOLD_S, MOST_BYTES, Intake
from transcriber_worker.brokers.kafka_messages import Parcel
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.settings import KafkaBrokerSettings

SETTINGS = KafkaBrokerSettings(max_buffered=4, max_uncommitted_span=10, hold_s=60.0, session_timeout_s=45.0)


def parcel(
    offset: int,
    partition: int = 0,
    *,
    not_before: float | None = None,
    timestamp_ms: int = 1,
    body: bytes = b"{}",
) -> Parcel:
    return Parcel(make_message(body, id_=f"{partition}@{offset}"), partition, offset, timestamp_ms, not_before)


class Desk:
    """An intake, and the poll thread's side of it."""

    def __init__(self, settings: KafkaBrokerSettings = SETTINGS) -> None:
        self.clock = ManualClock()
        self.intake = Intake(settings, self.clock)
        self.intake.assign([0, 1])

    def fetch(self, *parcels: Parcel) -> None:
        for one in parcels:
            self.intake.put(one)
        self.intake.tell_of_arrivals()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.intake.tell_of_arrivals()

    def offsets(self, limit: int = 100) -> list[int]:
        return [one.offset for one in self.intake.take(limit)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_messages_are_taken_in_the_order_they_came(desk: Desk) -> None:
    desk.fetch(parcel(0), parcel(1), parcel(2))

    assert desk.offsets(2) == [0, 1]
    assert desk.offsets(2) == [2]
    assert desk.offsets(2) == []


def test_only_what_everything_before_is_done_of_is_committed(desk: Desk) -> None:
    desk.fetch(*(parcel(offset) for offset in range(3)))
    first, second, third = desk.intake.take(3)

    desk.intake.finish(third)
    desk.intake.finish(second)
    assert desk.intake.commits() == {}

    desk.intake.finish(first)
    assert desk.intake.commits() == {0: 3}


def test_a_job_of_a_topic_that_is_no_more_does_not_end_the_message_at_its_offset(desk: Desk) -> None:
    desk.fetch(parcel(0, timestamp_ms=1))
    (old,) = desk.intake.take(1)
    desk.intake.restart(0, 0)
    desk.fetch(parcel(0, timestamp_ms=2))

    desk.intake.finish(old)

    assert desk.intake.commits() == {}
    assert desk.offsets() == [0]


def test_what_is_committed_is_not_committed_again(desk: Desk) -> None:
    desk.fetch(parcel(0), parcel(1))
    for one in desk.intake.take(2):
        desk.intake.finish(one)

    desk.intake.committed({0: 2})

    assert desk.intake.commits() == {}


def test_a_commit_that_was_not_confirmed_stays_due(desk: Desk) -> None:
    desk.fetch(parcel(0), parcel(1))
    first, second = desk.intake.take(2)
    desk.intake.finish(first)
    assert desk.intake.commits() == {0: 1}

    desk.intake.finish(second)

    assert desk.intake.commits() == {0: 2}


class TestRebalances:
    def test_nothing_of_a_partition_that_is_gone_is_committed(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(0, 1))
        for one in desk.intake.take(2):
            desk.intake.finish(one)

        desk.intake.revoke([0])

        assert desk.intake.commits() == {1: 1}

    def test_what_was_not_taken_is_left_to_the_new_owner(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(5, 1), parcel(1, not_before=NOW + 30))

        desk.intake.revoke([0])
        desk.pass_time(40)

        assert desk.offsets() == [5]

    def test_ending_a_job_whose_partition_moved_does_nothing(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1))
        first, second = desk.intake.take(2)
        desk.intake.revoke([0])

        assert not desk.intake.owns(first)
        desk.intake.finish(first)
        desk.intake.put_back(second, 0.0)

        assert desk.offsets() == []
        assert desk.intake.commits() == {}

    def test_a_job_that_still_runs_when_its_partition_returns_is_not_begun_again(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1))
        (running,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.assign([0])

        desk.fetch(parcel(0), parcel(1))

        assert desk.offsets() == [1]
        assert desk.intake.owns(running)

    def test_and_its_end_counts_again(self, desk: Desk) -> None:
        desk.fetch(parcel(0))
        (running,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.assign([0])
        desk.fetch(parcel(0), parcel(1))
        assert desk.intake.commits() == {}

        desk.intake.finish(running)

        assert desk.intake.commits() == {0: 1}

    def test_and_it_can_be_given_back(self, desk: Desk) -> None:
        desk.fetch(parcel(0))
        (running,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.assign([0])
        desk.fetch(parcel(0))

        desk.intake.put_back(running, 0.0)

        assert desk.offsets() == [0]

    def test_a_job_that_ended_meanwhile_is_begun_again(self, desk: Desk) -> None:
        """Its end was not ours to tell; its record does."""
        desk.fetch(parcel(0))
        (running,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.finish(running)
        desk.intake.assign([0])

        desk.fetch(parcel(0))

        assert desk.offsets() == [0]

    def test_nor_does_an_end_count_that_comes_after_standing_still(self, desk: Desk) -> None:
        """By then the partition may be somebody else's."""
        desk.fetch(parcel(0))
        (running,) = desk.intake.take(1)
        desk.clock.advance(46.0)
        desk.intake.finish(running)
        desk.intake.revoke([0])
        desk.intake.assign([0])

        desk.fetch(parcel(0))

        assert desk.offsets() == [0]

    def test_what_ended_behind_a_job_that_still_runs_is_not_begun_again(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1), parcel(2))
        first, second, third = desk.intake.take(3)
        desk.intake.finish(second)
        desk.intake.revoke([0])
        desk.intake.assign([0])
        desk.fetch(parcel(0), parcel(1), parcel(2))
        assert desk.offsets() == []

        desk.intake.finish(first)
        assert desk.intake.commits() == {0: 2}
        desk.intake.finish(third)
        assert desk.intake.commits() == {0: 3}

    def test_what_was_given_back_meanwhile_is_begun_again(self, desk: Desk) -> None:
        desk.fetch(parcel(0))
        (running,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.put_back(running, 0.0)
        desk.intake.assign([0])

        desk.fetch(parcel(0))

        assert desk.offsets() == [0]

    def test_ends_that_are_committed_are_forgotten(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1), parcel(0, 1))
        for one in desk.intake.take(3):
            desk.intake.finish(one)

        desk.intake.committed({0: 2})

        assert [key[:2] for key in desk.intake._done] == [(1, 0)]

    def test_another_message_at_the_same_offset_is_another_message(self, desk: Desk) -> None:
        """The topic was deleted and made anew while a job ran."""
        desk.fetch(parcel(0, timestamp_ms=1))
        (old,) = desk.intake.take(1)
        desk.intake.revoke([0])
        desk.intake.assign([0])
        desk.fetch(parcel(0, timestamp_ms=2))
        (new,) = desk.intake.take(1)

        desk.intake.finish(old)
        assert desk.intake.commits() == {}

        desk.intake.finish(new)
        assert desk.intake.commits() == {0: 1}

    def test_going_on_ahead_keeps_what_was_fetched(self, desk: Desk) -> None:
        """Retention removed what was to come next."""
        desk.fetch(parcel(0))
        desk.intake.restart(0, 50)
        desk.fetch(parcel(50))

        first, second = desk.intake.take(2)
        desk.intake.finish(second)

        assert (first.offset, second.offset) == (0, 50)
        assert desk.intake.commits() == {}

    def test_going_back_begins_anew(self, desk: Desk) -> None:
        desk.fetch(parcel(40), parcel(41))
        desk.intake.restart(0, 0)

        desk.fetch(parcel(0))

        assert desk.offsets() == [0]

    def test_nothing_is_handed_out_while_the_poll_thread_stands_still(self, desk: Desk) -> None:
        """A process that was stopped for longer than a session: its partitions are somebody else's by now."""
        desk.fetch(parcel(0))

        desk.clock.advance(46.0)
        assert desk.offsets() == []

        desk.intake.tell_of_arrivals()
        assert desk.offsets() == [0]


class TestWaiting:
    def test_what_is_given_back_comes_first(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1))
        (taken,) = desk.intake.take(1)

        desk.intake.put_back(taken, 0.0)

        assert desk.offsets() == [0, 1]

    def test_a_delay_is_kept_and_others_pass(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1))
        (taken,) = desk.intake.take(1)

        desk.intake.put_back(taken, 30.0)

        assert desk.offsets() == [1]
        assert desk.intake.next_due_s() == 30.0
        desk.pass_time(29.0)
        assert desk.offsets() == []
        desk.pass_time(1.0)
        assert desk.offsets() == [0]
        assert desk.intake.next_due_s() is None

    def test_what_is_not_due_is_not_sent_round_at_once_whatever_may_be_held(self) -> None:
        desk = Desk(KafkaBrokerSettings(hold_s=0.0))
        desk.fetch(parcel(0, not_before=NOW + 20))
        assert desk.intake.take_early() == []

        desk.pass_time(LEAST_HOLD_S)

        assert [one.offset for one in desk.intake.take_early()] == [0]

    def test_it_wakes_who_waits(self, desk: Desk) -> None:
        desk.fetch(parcel(0))
        (taken,) = desk.intake.take(1)
        assert not desk.intake.arrived.is_set()

        desk.intake.put_back(taken, 30.0)

        assert desk.intake.arrived.is_set()

    def test_a_held_message_holds_the_commit(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1))
        first, second = desk.intake.take(2)
        desk.intake.finish(second)

        desk.intake.put_back(first, 30.0)

        assert desk.intake.commits() == {}

    def test_a_message_that_is_not_due_is_held(self, desk: Desk) -> None:
        desk.fetch(parcel(0, not_before=NOW + 20), parcel(1))

        assert desk.offsets() == [1]
        desk.pass_time(20.0)
        assert desk.offsets() == [0]

    def test_a_message_that_is_due_is_not(self, desk: Desk) -> None:
        desk.fetch(parcel(0, not_before=NOW - 1))

        assert desk.offsets() == [0]

    def test_one_that_is_still_not_due_after_being_held_leaves(self, desk: Desk) -> None:
        desk.fetch(parcel(0, not_before=NOW + 100))
        desk.pass_time(59.0)
        assert desk.intake.take_early() == []
        desk.pass_time(1.0)

        (early,) = desk.intake.take_early()

        assert desk.offsets() == []
        desk.intake.finish(early)
        assert desk.intake.commits() == {0: 1}

    def test_one_that_could_not_leave_is_held_again(self, desk: Desk) -> None:
        desk.fetch(parcel(0, not_before=NOW + 100))
        desk.pass_time(60.0)
        (early,) = desk.intake.take_early()

        desk.intake.put_back(early, 10.0)

        assert desk.offsets() == []
        desk.pass_time(10.0)
        assert desk.intake.take_early() == [early]


class TestBounds:
    def test_there_is_room_for_so_many_messages(self, desk: Desk) -> None:
        desk.fetch(parcel(0), parcel(1), parcel(2))
        assert desk.intake.room.is_set()

        desk.fetch(parcel(3))
        assert not desk.intake.room.is_set()

        desk.intake.take(1)
        assert desk.intake.room.is_set()

    def test_once_shut_it_opens_when_it_is_half_empty(self, desk: Desk) -> None:
        desk.fetch(*(parcel(offset) for offset in range(4)))
        assert not desk.intake.is_closed(0)
        desk.intake.shut()
        assert desk.intake.closed_partitions() == {0, 1}

        desk.intake.take(1)
        assert desk.intake.is_closed(0)
        desk.intake.take(1)

        assert desk.intake.closed_partitions() == set()

    def test_it_is_not_shut_when_there_is_room_by_now(self, desk: Desk) -> None:
        desk.fetch(*(parcel(offset) for offset in range(4)))
        desk.intake.take(1)

        desk.intake.shut()

        assert desk.intake.closed_partitions() == set()

    def test_what_moves_away_makes_room(self, desk: Desk) -> None:
        desk.fetch(*(parcel(offset) for offset in range(4)))
        desk.intake.shut()

        desk.intake.revoke([0])

        assert desk.intake.room.is_set()
        assert desk.intake.closed_partitions() == set()

    def test_a_partition_whose_first_job_lasts_closes_at_its_span_alone(self, desk: Desk) -> None:
        taken = []
        for offset in range(10):
            desk.fetch(parcel(offset))
            taken += desk.intake.take(1)
        for one in taken[1:]:
            desk.intake.finish(one)

        assert desk.intake.closed_partitions() == {0}

        desk.intake.finish(taken[0])
        assert desk.intake.closed_partitions() == set()

    def test_many_held_messages_leave_no_room(self) -> None:
        settings = KafkaBrokerSettings(max_buffered=4, max_uncommitted_span=1000)
        desk = Desk(settings)
        held = HELD_FACTOR * settings.max_buffered
        desk.fetch(*(parcel(offset, not_before=NOW + 20) for offset in range(held - 1)))
        assert desk.intake.room.is_set()

        desk.fetch(parcel(held, not_before=NOW + 20))
        assert not desk.intake.room.is_set()

        desk.pass_time(20.0)
        desk.offsets()
        assert desk.intake.room.is_set()

    def test_few_large_messages_leave_no_room(self) -> None:
        desk = Desk(KafkaBrokerSettings(max_buffered=1000))
        large = b"x" * (1024 * 1024)
        count = MOST_BYTES // len(large)
        desk.fetch(*(parcel(offset, body=large) for offset in range(count - 1)))
        assert desk.intake.room.is_set()

        desk.fetch(parcel(count, body=large))

        assert not desk.intake.room.is_set()
