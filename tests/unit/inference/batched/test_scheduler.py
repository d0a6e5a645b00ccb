"""Which rows are decoded together next."""

from collections import Counter

import pytest

from tests.rows import PLAIN, PROMPTED, STAMPED, a_row
from transcriber_worker.domain.job import Priority
from transcriber_worker.inference.batched.caps import Pace
from transcriber_worker.inference.batched.rows import Recipe
from transcriber_worker.inference.batched.scheduler import Batch, Scheduler

FLUSH_S = 0.03


class Queue:
    """A scheduler with a cap, whose files are named and whose clock stands still beyond every flush."""

    def __init__(self, cap: int, *, share: bool = False, pace: Pace | None = None) -> None:
        self.cap = cap
        self.scheduler = Scheduler(flush_s=FLUSH_S, pace=pace or Pace(1e9), share=share)
        self.tickets: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def join(self, name: str, priority: Priority = Priority.NORMAL, deadline: float | None = None) -> None:
        ticket = self.tickets[name] = self.scheduler.join(priority, deadline)
        self.names[ticket] = name

    def add(
        self, name: str, count: int = 1, recipe: Recipe = PLAIN, *, frames: int = 3000, again: bool = False
    ) -> None:
        if name not in self.tickets:
            self.join(name)
        for _ in range(count):
            self.scheduler.add(self.tickets[name], a_row(recipe, frames=frames), 0.0, again=again)

    def batch(self, idle: int = 1) -> Batch:
        batch = self.scheduler.next(FLUSH_S, lambda frames: self.cap, idle)
        assert batch is not None
        return batch

    def next(self, idle: int = 1) -> list[str]:
        """Whose rows the next batch is made of."""
        return [self.names[waiting.ticket] for waiting in self.batch(idle).rows]


def settled(queue: Queue, *names: str) -> None:
    """Let each file have had something."""
    for name in names:
        queue.add(name)
    while len(queue.scheduler):
        queue.next()


def test_an_empty_queue_has_no_batch_and_nothing_due() -> None:
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(8.0), share=False)
    assert queue.next(0.0, lambda frames: 4) is None
    assert queue.due() is None


def test_a_batch_that_is_not_full_waits_until_its_oldest_row_is_due() -> None:
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(8.0), share=False)
    ticket = queue.join(Priority.NORMAL, None)
    queue.add(ticket, a_row(), 5.0)
    queue.add(ticket, a_row(), 5.02)
    assert queue.due() == 5.0 + FLUSH_S
    assert queue.next(5.0 + 0.9 * FLUSH_S, lambda frames: 3) is None
    batch = queue.next(5.0 + FLUSH_S, lambda frames: 3)
    assert batch is not None
    assert len(batch.rows) == 2
    assert batch.most == 3
    assert batch.waited_s == pytest.approx(FLUSH_S)
    assert queue.due() is None


def test_a_full_batch_waits_for_nothing() -> None:
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(8.0), share=False)
    ticket = queue.join(Priority.NORMAL, None)
    for _ in range(3):
        queue.add(ticket, a_row(), 5.0)
    batch = queue.next(5.0, lambda frames: 3)
    assert batch is not None
    assert len(batch.rows) == 3


def test_a_file_alone_may_fill_a_batch() -> None:
    queue = Queue(4)
    queue.add("alone", 6)
    assert queue.next() == ["alone"] * 4
    assert queue.next() == ["alone"] * 2


def test_a_batch_is_shared_out_in_rounds_of_one_row_a_file() -> None:
    queue = Queue(5)
    queue.add("a", 9)
    queue.add("b", 1)
    queue.add("c", 9)
    assert Counter(queue.next()) == {"a": 2, "b": 1, "c": 2}


def test_a_higher_priority_fills_its_batches_first_and_what_it_leaves_free_goes_to_the_next() -> None:
    queue = Queue(4)
    for name in Priority:
        queue.join(name.value, name)
    queue.add("low", 4)
    queue.add("normal", 1)
    queue.add("high", 6)
    assert queue.next() == ["high"] * 4
    assert queue.next() == ["high", "high", "normal", "low"]


def test_the_nearest_deadline_goes_before_other_files_that_are_no_newer() -> None:
    queue = Queue(2)
    queue.join("late", deadline=200.0)
    queue.join("never")
    queue.join("soon", deadline=100.0)
    queue.add("late")
    queue.add("never")
    queue.add("soon")
    assert queue.next()[0] == "soon"


def test_whose_turn_it_is_shares_every_batch_with_those_who_have_deadlines() -> None:
    queue = Queue(2)
    for number in range(8):
        queue.join(f"due{number}", deadline=float(number))
        queue.add(f"due{number}")
    settled(queue, "patient", *queue.tickets)
    for name in queue.tickets:
        queue.add(name, 20)
    heard = Counter(name for _ in range(18) for name in queue.next())
    assert heard["due0"] >= 9
    assert min(heard[name] for name in queue.tickets) >= 1


def test_a_new_file_comes_before_long_ones() -> None:
    queue = Queue(4)
    settled(queue, "long1", "long2", "long3", "long4", "long5")
    for number in range(1, 6):
        queue.add(f"long{number}", 10)
    queue.add("clip")
    assert "clip" in queue.next()


def test_newcomers_leave_half_of_a_batch_to_those_who_have_had_something() -> None:
    queue = Queue(4)
    settled(queue, "long1", "long2")
    queue.add("long1", 10)
    queue.add("long2", 10)
    for number in range(10):
        queue.add(f"clip{number}")
    assert Counter(name[:4] for name in queue.next()) == {"clip": 2, "long": 2}


def test_a_file_that_is_tried_again_is_so_before_its_new_windows() -> None:
    queue = Queue(2)
    queue.add("file", 2)
    queue.add("file", 1, STAMPED, again=True)
    queue.add("file", 1, again=True)
    assert [waiting.again for waiting in queue.batch().rows] == [True]
    assert [waiting.again for waiting in queue.batch().rows] == [True, False]


def test_a_few_odd_rows_wait_for_company_while_others_fill_batches() -> None:
    queue = Queue(2)
    settled(queue, "odd1", "other", "odd2")
    queue.add("odd1", recipe=STAMPED, again=True)
    queue.add("other", 20)
    assert queue.next() == ["other"] * 2
    assert queue.next() == ["other"] * 2
    queue.add("odd2", recipe=STAMPED, again=True)
    assert set(queue.next()) == {"odd1", "odd2"}


def test_odd_rows_that_get_no_company_do_not_wait_for_ever() -> None:
    queue = Queue(2)
    settled(queue, "odd", "other")
    queue.add("odd", recipe=STAMPED, again=True)
    queue.add("other", 40)
    assert [queue.next() for _ in range(6)].index(["odd"]) == 4


def test_odd_rows_keep_their_turn_though_other_rows_of_their_file_join_the_batches_meanwhile() -> None:
    queue = Queue(2)
    settled(queue, "odd", "other")
    queue.add("odd", recipe=STAMPED, again=True)
    queue.add("odd", 40)
    queue.add("other", 40)
    assert [queue.next() for _ in range(6)].index(["odd"]) == 4


def test_odd_rows_wait_for_no_company_that_there_would_be_no_time_for() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=8.0)
    queue = Queue(2, pace=pace)
    settled(queue, "odd", "other")
    queue.add("odd", recipe=STAMPED, again=True)
    queue.add("other", 20)
    assert queue.next() == ["odd"]


def test_odd_rows_that_keep_nobody_waiting_go_at_once() -> None:
    queue = Queue(4)
    settled(queue, "odd", "other")
    queue.add("odd", recipe=STAMPED, again=True)
    queue.add("other")
    assert queue.next() == ["odd"]


def test_idle_workers_share_out_what_waits_where_each_has_cores_of_its_own() -> None:
    queue = Queue(4, share=True)
    queue.add("a", 2)
    queue.add("b", 2)
    assert sorted(queue.next(idle=2)) == ["a", "b"]
    assert sorted(queue.next(idle=1)) == ["a", "b"]


def test_idle_workers_leave_what_waits_to_one_where_they_share_an_accelerator() -> None:
    queue = Queue(4, share=False)
    queue.add("a", 2)
    queue.add("b", 2)
    assert len(queue.next(idle=2)) == 4


def test_a_queue_that_keeps_all_workers_busy_is_not_shared_out() -> None:
    queue = Queue(4, share=True)
    queue.add("a", 9)
    assert len(queue.next(idle=2)) == 4


def test_a_batch_is_no_larger_than_what_is_expected_to_be_done_in_time() -> None:
    pace = Pace(8.0)
    pace.took(PLAIN, rows=1, frames=3000, seconds=4.0)
    queue = Queue(16, pace=pace)
    queue.add("a", 9)
    batch = queue.batch()
    assert len(batch.rows) == 2
    assert batch.most == 2


def test_rows_of_similar_length_go_together() -> None:
    queue = Queue(4)
    for frames in (3000, 500, 2900, 520, 2800, 480, 2950, 510):
        queue.add(f"clip{frames}", frames=frames)
    assert sorted(waiting.row.frames for waiting in queue.batch().rows) == [2800, 2900, 2950, 3000]
    assert sorted(waiting.row.frames for waiting in queue.batch().rows) == [480, 500, 510, 520]


def test_an_accelerators_batch_with_room_takes_in_rows_too_short_for_it_while_little_is_padding() -> None:
    queue = Queue(8)
    queue.add("long", 3, frames=1000)
    queue.add("clip", frames=400)
    queue.add("blip", frames=50)
    assert sorted(waiting.row.frames for waiting in queue.batch().rows) == [400, 1000, 1000, 1000]
    assert queue.next() == ["blip"]


def test_on_the_cpu_short_rows_are_cheaper_on_their_own() -> None:
    queue = Queue(8, share=True)
    queue.add("long", 3, frames=1000)
    queue.add("clip", frames=400)
    assert queue.next() == ["long"] * 3
    assert queue.next() == ["clip"]


def test_dropping_a_file_leaves_the_others() -> None:
    queue = Queue(4)
    queue.add("a", 2)
    queue.add("b", 2)
    queue.scheduler.drop(queue.tickets["a"])
    assert len(queue.scheduler) == 2
    assert queue.next() == ["b", "b"]
    queue.add("a")
    assert queue.next() == ["a"]


def test_leaving_twice_is_harmless_and_takes_the_rows_along() -> None:
    queue = Queue(4)
    queue.add("a", 2, PROMPTED)
    queue.scheduler.leave(queue.tickets["a"])
    queue.scheduler.leave(queue.tickets["a"])
    assert len(queue.scheduler) == 0
    assert queue.scheduler.due() is None
