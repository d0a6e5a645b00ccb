"""Which file is read next."""

import threading
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import JobCancelled, RetryJob
from transcriber_worker.media.places import Place, Places, Seating, Turn


def arrived(seating: Seating, count: int = 1) -> list[Turn]:
    """Files that want to be read, and have a place where one is free for them."""
    turns = [seating.arrive() for _ in range(count)]
    for turn in turns:
        seating.wait(turn)
        seating.admit(turn)
    return turns


def found_long(seating: Seating, turn: Turn) -> None:
    """What a reader does with a file that turns out to be long: it waits for a usual place."""
    assert turn.place is Place.RESERVED
    assert not seating.keep(turn)
    seating.leave(turn)
    seating.wait(turn)


def test_files_take_the_usual_places_first_and_then_the_reserved_one() -> None:
    turns = arrived(Seating(2), 4)
    assert [turn.place for turn in turns] == [Place.USUAL, Place.USUAL, Place.RESERVED, None]


def test_a_file_found_to_be_long_leaves_the_reserved_place_to_the_next() -> None:
    seating = Seating(2)
    _, _, third, fourth = arrived(seating, 4)
    found_long(seating, third)
    assert not seating.admit(third)
    assert seating.admit(fourth)
    assert fourth.place is Place.RESERVED


def test_long_files_are_read_in_the_order_in_which_they_came() -> None:
    seating = Seating(1)
    first, second = arrived(seating, 2)
    found_long(seating, second)
    (third,) = arrived(seating)
    found_long(seating, third)
    seating.leave(first)
    assert not seating.admit(third)
    assert seating.admit(second)
    seating.leave(second)
    assert seating.admit(third)
    assert third.place is Place.USUAL


def test_a_new_file_does_not_overtake_a_long_one_to_a_usual_place() -> None:
    seating = Seating(1)
    first, second = arrived(seating, 2)
    found_long(seating, second)
    clip, other_clip = arrived(seating, 2)
    assert clip.place is Place.RESERVED
    seating.leave(first)
    assert not seating.admit(other_clip)
    assert seating.admit(second)
    seating.leave(clip)
    assert seating.admit(other_clip)


def test_a_long_file_stays_where_it_is_where_a_usual_place_has_become_free() -> None:
    seating = Seating(1)
    first, second = arrived(seating, 2)
    seating.leave(first)
    assert seating.keep(second)
    assert second.place is Place.USUAL
    assert [turn.place for turn in arrived(seating, 2)] == [Place.RESERVED, None]


def test_a_long_file_does_not_stay_ahead_of_one_that_came_before() -> None:
    seating = Seating(1)
    first, second = arrived(seating, 2)
    found_long(seating, second)
    (third,) = arrived(seating)
    seating.leave(first)
    assert not seating.keep(third), "the second, which has not looked yet, comes first"
    assert seating.admit(second)


def test_leaving_twice_frees_one_place() -> None:
    seating = Seating(1)
    (first,) = arrived(seating)
    seating.leave(first)
    seating.leave(first)
    assert [turn.place for turn in arrived(seating, 3)] == [Place.USUAL, Place.RESERVED, None]


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(["come", "long", "done", "gone"]), st.integers(0, 5))))
def test_whatever_happens_no_place_is_given_twice_or_stays_empty(total: int, steps: list[tuple[str, int]]) -> None:
    """Files come, turn out long, are done or go away while they wait, in any order."""
    seating = Seating(total)
    inside: list[Turn] = []
    for what, which in steps:
        turn = inside[which % len(inside)] if inside else None
        if what == "come":
            seating.wait(seating.arrive())
        elif what == "gone" and seating.waiting:
            seating.withdraw(seating.waiting[which % len(seating.waiting)])
        elif turn is not None and what == "done":
            seating.leave(turn)
        elif turn is not None and what == "long" and turn.place is Place.RESERVED and not seating.keep(turn):
            seating.leave(turn)
            seating.wait(turn)
        before = [waiting.number for waiting in seating.waiting]
        inside += [waiting for waiting in list(seating.waiting) if seating.admit(waiting)]
        inside = [turn for turn in inside if turn.place is not None]
        places = [turn.place for turn in inside]
        assert before == sorted(before)
        assert places.count(Place.USUAL) <= total
        assert places.count(Place.RESERVED) <= 1
        assert not any(turn.long and turn.place is Place.RESERVED for turn in inside)
        if seating.waiting:
            assert places.count(Place.USUAL) == total, "somebody waits at a free place"
        if not all(turn.long for turn in seating.waiting):
            assert places.count(Place.RESERVED) == 1, "a new file waits at the free reserved place"


class Waiting:
    """A file that wants to be read, on a thread of its own."""

    def __init__(self, places: Places) -> None:
        self.cancel = CancelToken()
        self.cancel.on_cancel(places.look_again)
        self.turn = places.arrive()
        self.error: Exception | None = None
        self._places = places
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        until(lambda: not self._thread.is_alive() or self.turn in places.waiting)

    def _take(self) -> None:
        try:
            self._places.take(self.turn, self.cancel)
        except (JobCancelled, RetryJob) as error:
            self.error = error

    @property
    def place(self) -> Place | None:
        """Where it is, once it has been told."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "still waiting"
        return self.turn.place


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)


def test_who_waits_is_told_of_a_free_place() -> None:
    places = Places(1)
    first, second, third, fourth = (Waiting(places) for _ in range(4))
    assert (first.place, second.place) == (Place.USUAL, Place.RESERVED)
    places.leave(first.turn)
    assert third.place is Place.USUAL
    places.leave(third.turn)
    assert fourth.place is Place.USUAL


def test_who_waits_is_told_that_a_long_file_has_moved() -> None:
    places = Places(1)
    first, second = Waiting(places), Waiting(places)
    assert (first.place, second.place) == (Place.USUAL, Place.RESERVED)
    places.leave(first.turn)
    assert places.keep(second.turn)
    assert Waiting(places).place is Place.RESERVED


def test_who_is_cancelled_stops_waiting_and_leaves_no_trace() -> None:
    places = Places(1)
    first, second, cancelled, next_one = (Waiting(places) for _ in range(4))
    assert (first.place, second.place) == (Place.USUAL, Place.RESERVED)
    cancelled.cancel.cancel(JobCancelled("by its user"))
    assert cancelled.place is None
    assert isinstance(cancelled.error, JobCancelled)
    places.leave(first.turn)
    assert next_one.place is Place.USUAL
    assert places.waiting == ()


def test_closing_sends_away_who_waits() -> None:
    places = Places(1)
    first, second, waiting = (Waiting(places) for _ in range(3))
    assert (first.place, second.place) == (Place.USUAL, Place.RESERVED)
    places.close()
    assert waiting.place is None
    assert isinstance(waiting.error, RetryJob)
    assert isinstance(Waiting(places).error, RetryJob)
