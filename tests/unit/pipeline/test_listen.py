"""How far a file is read ahead of the engine, and what it may lack and still count as transcribed."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

from tests.speech import a_window
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.pipeline.listen import listen, refuse_great_loss
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Findings, Stopwatch
from transcriber_worker.transcript.assemble import HeardPart


def part(*lost: Span) -> HeardPart:
    return HeardPart(None, Span(0.0, 60.0), HeardWindow((), "en", 0.9, lost=lost))


def test_a_file_may_lack_a_little_of_its_speech() -> None:
    refuse_great_loss([part(), part(Span(1.0, 2.5), Span(30.0, 30.5))], speech_s=100.0)


def test_a_file_that_lacks_more_is_tried_again() -> None:
    with pytest.raises(RetryJob, match=r"2\.1 s of 100\.0 s of speech"):
        refuse_great_loss([part(Span(1.0, 2.5)), part(Span(30.0, 30.6))], speech_s=100.0)


class Heard:
    """A stream of windows and the engine that hears them, the `broken`-th of them not."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        self._count = count
        self._broken = broken
        self.findings = Findings()
        self.on_heard: Callable[[HeardPart], None] = lambda part: None
        self.most = 0
        """Windows that ever waited at once."""

    def windows(self) -> Iterator[Window]:
        return (a_window(number, start_s=3.0 * number) for number in range(self._count))

    def submit(self, window: Window) -> Future[HeardWindow]:
        future: Future[HeardWindow] = Future()
        if window.index == self._broken:
            future.set_exception(RetryJob("lost"))
        else:
            future.set_result(HeardWindow((), "en", 0.9))
        return future

    def finish(self) -> None: ...

    def reached(self, milestone: Milestone) -> None:
        self.most = max(self.most, self.findings.windows_waiting)

    def listen(self, lookahead: Lookahead) -> list[HeardPart]:
        file: Any = self
        watch = Stopwatch(ManualClock())
        return listen(
            file,
            file,
            lookahead=lookahead,
            cancel=CancelToken(),
            watch=watch,
            findings=self.findings,
            reached=self.reached,
            on_heard=self.on_heard,
        )


def test_a_file_is_read_no_further_ahead_than_it_may() -> None:
    """But for the window that was just read."""
    file = Heard(20)
    assert len(file.listen(Lookahead(2, 5, 9))) == 20
    assert file.most == 5 + 1


def test_a_file_beside_others_is_read_less_far_ahead() -> None:
    lookahead, file = Lookahead(2, 5, 3), Heard(20)
    with lookahead.share() as another:
        assert another.take(4)
        assert len(file.listen(lookahead)) == 20
    assert file.most == 3 + 1


def test_the_end_of_a_file_makes_room_for_others_window_by_window() -> None:
    lookahead, file = Lookahead(2, 5, 3), Heard(20)
    room: list[bool] = []
    file.on_heard = lambda part: room.append(lookahead.exchange(0, 1) and lookahead.exchange(1, 0))
    file.listen(lookahead)
    assert room == [False] * 15 + [True] * 5


@pytest.mark.parametrize("broken", [None, 1, 19])
def test_a_file_that_ends_leaves_its_places_to_others(broken: int | None) -> None:
    lookahead = Lookahead(2, 5, 3)
    with suppress(RetryJob):
        Heard(20, broken).listen(lookahead)
    with lookahead.share() as next_one:
        assert next_one.take(5)
