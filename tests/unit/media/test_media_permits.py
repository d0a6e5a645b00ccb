"""Who may compute."""

import os
import threading
import time
from collections.abc import Callable

import pytest

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import JobCancelled
from transcriber_worker.media.permits import FIRST_IN_A_ROW, CpuPermits


class Holder:
    """A thread that takes a permit, says so, and keeps it until told otherwise."""

    def __init__(self, permits: CpuPermits, order: list[str], name: str, *, first: bool) -> None:
        self.cancel = CancelToken()
        self.error: Exception | None = None
        self.has_it = threading.Event()
        self._let_go = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(permits, order, name, first), daemon=True)
        self._thread.start()

    def _run(self, permits: CpuPermits, order: list[str], name: str, first: bool) -> None:
        try:
            with permits.hold(self.cancel, first=first):
                order.append(name)
                self.has_it.set()
                assert self._let_go.wait(30)
        except JobCancelled as error:
            self.error = error

    def let_go(self) -> None:
        self._let_go.set()
        self._thread.join(30)


def permits_and_order(total: int) -> tuple[CpuPermits, list[str]]:
    return CpuPermits(total), []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def waiting(permits: CpuPermits, count: int) -> None:
    until(lambda: permits.waiting == count)


def test_one_permit_is_kept_for_files_that_have_had_nothing_yet() -> None:
    permits, order = permits_and_order(2)
    a = Holder(permits, order, "long", first=False)
    assert a.has_it.wait(30)
    b = Holder(permits, order, "second long", first=False)
    waiting(permits, 1)
    c = Holder(permits, order, "new", first=True)
    assert c.has_it.wait(30)
    assert order == ["long", "new"], "the second long file waits although a permit was free"
    for holder in (a, c, b):
        holder.let_go()
    assert order == ["long", "new", "second long"]


def test_with_a_single_permit_first_windows_go_first() -> None:
    permits, order = permits_and_order(1)
    a = Holder(permits, order, "long", first=False)
    assert a.has_it.wait(30)
    b = Holder(permits, order, "other long", first=False)
    waiting(permits, 1)
    c = Holder(permits, order, "new", first=True)
    waiting(permits, 2)
    a.let_go()
    assert c.has_it.wait(30)
    c.let_go()
    b.let_go()
    assert order == ["long", "new", "other long"]


def test_a_stream_of_new_files_does_not_starve_an_old_one() -> None:
    permits, order = permits_and_order(1)
    held = Holder(permits, order, "held", first=False)
    assert held.has_it.wait(30)
    old = Holder(permits, order, "old", first=False)
    waiting(permits, 1)
    new = []
    for i in range(FIRST_IN_A_ROW + 3):
        new.append(Holder(permits, order, f"new {i}", first=True))
        waiting(permits, i + 2)
    held.let_go()
    for holder in new[:FIRST_IN_A_ROW]:
        assert holder.has_it.wait(30)
        holder.let_go()
    assert old.has_it.wait(30)
    old.let_go()
    for holder in new[FIRST_IN_A_ROW:]:
        holder.let_go()
    assert order.index("old") == 1 + FIRST_IN_A_ROW


def test_permits_of_a_kind_go_out_in_the_order_asked_for() -> None:
    permits, order = permits_and_order(1)
    held = Holder(permits, order, "held", first=True)
    assert held.has_it.wait(30)
    holders = []
    for i in range(4):
        holders.append(Holder(permits, order, str(i), first=True))
        waiting(permits, i + 1)
    held.let_go()
    for holder in holders:
        assert holder.has_it.wait(30)
        holder.let_go()
    assert order == ["held", "0", "1", "2", "3"]


def test_a_cancelled_job_stops_waiting_and_leaves_no_trace() -> None:
    permits, order = permits_and_order(1)
    held = Holder(permits, order, "held", first=True)
    assert held.has_it.wait(30)
    cancelled = Holder(permits, order, "cancelled", first=True)
    waiting(permits, 1)
    cancelled.cancel.cancel(JobCancelled("by its user"))
    permits.look_again()
    cancelled.let_go()
    assert isinstance(cancelled.error, JobCancelled)
    assert permits.waiting == 0
    held.let_go()
    with permits.hold(CancelToken(), first=False):
        pass


def test_an_error_gives_the_permit_back() -> None:
    permits = CpuPermits(1)
    with pytest.raises(RuntimeError), permits.hold(CancelToken(), first=False):
        raise RuntimeError
    with permits.hold(CancelToken(), first=True):
        pass
