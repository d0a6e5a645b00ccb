"""What every speech engine promises. Subclass `EngineContract` and provide the `harness` fixture."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import pytest

from tests.speech import a_listener, a_window
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled, Reason, RejectJob
from transcriber_worker.domain.job import Priority, SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import EngineInfo, SpeechEngine

TIMEOUT_S = 60.0
T = TypeVar("T")


class Harness(Protocol):
    """How the suite gets an engine and something for it to hear."""

    def engine(self, concurrency: int) -> SpeechEngine:
        """A new engine, not started."""
        ...

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        """The window `index` of a recording that holds a few spoken words in each."""
        ...


class Gate(CancelToken):
    """A stop sign that also holds up whoever looks at it, until it is opened: the engine looks before every step."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.on_cancel(self.opened.set)

    def raise_if_cancelled(self) -> None:
        self.reached.set()
        assert self.opened.wait(TIMEOUT_S)
        super().raise_if_cancelled()


@dataclass(frozen=True)
class Running:
    engine: SpeechEngine
    info: EngineInfo


@contextmanager
def running(harness: Harness, concurrency: int = 1) -> Iterator[Running]:
    engine = harness.engine(concurrency)
    try:
        yield Running(engine, engine.start())
    finally:
        engine.close()


def unheard(index: int = 0) -> Window:
    """A window that takes no time, as it holds no speech."""
    return a_window(index, speech=[])


def noting(done: list[T], what: T) -> Callable[[Future[HeardWindow]], None]:
    """A callback that notes that `what` is done."""
    return lambda _: done.append(what)


def text(heard: HeardWindow) -> str:
    return "".join(segment.text for segment in heard.segments)


class EngineContract:
    def test_it_says_what_it_is(self, harness: Harness) -> None:
        with running(harness, concurrency=2) as it:
            assert len(it.info.model_sha256) == 64
            assert it.info.model_sha256 in it.info.identity

    def test_the_windows_of_a_file_are_answered_in_order_and_in_their_own_place(self, harness: Harness) -> None:
        with running(harness, concurrency=2) as it, it.engine.open(a_listener()) as hearing:
            done: list[int] = []
            windows = [harness.speech(index) for index in range(3)]
            futures = [hearing.submit(window) for window in windows]
            for index, future in enumerate(futures):
                future.add_done_callback(noting(done, index))
            for window, future in zip(windows, futures, strict=True):
                heard = future.result(TIMEOUT_S)
                assert text(heard).strip()
                assert heard.tokens > 0
                for segment in heard.segments:
                    assert window.core.start_s <= segment.start_s <= segment.end_s <= window.core.end_s
            assert done == [0, 1, 2]

    def test_a_window_without_speech_has_no_segments(self, harness: Harness) -> None:
        with running(harness) as it, it.engine.open(a_listener()) as hearing:
            assert hearing.submit(unheard()).result(TIMEOUT_S).segments == ()

    def test_words_are_given_only_when_asked_for(self, harness: Harness) -> None:
        with running(harness) as it:
            with it.engine.open(a_listener()) as hearing:
                plain = hearing.submit(harness.speech()).result(TIMEOUT_S)
            options = SpeechOptions(word_timestamps=True)
            with it.engine.open(a_listener(options=options)) as hearing:
                worded = hearing.submit(harness.speech()).result(TIMEOUT_S)
        assert all(segment.words == () for segment in plain.segments)
        for segment in worded.segments:
            assert "".join(word.text for word in segment.words) == segment.text
            times = [time for word in segment.words for time in (word.start_s, word.end_s)]
            assert times == sorted(times)

    def test_segments_say_which_channel_they_are_of(self, harness: Harness) -> None:
        with running(harness) as it, it.engine.open(a_listener()) as hearing:
            heard = [hearing.submit(harness.speech(channel=channel)).result(TIMEOUT_S) for channel in (0, 1)]
        assert [{segment.channel for segment in window.segments} for window in heard] == [{0}, {1}]

    def test_several_files_are_worked_on_at_once(self, harness: Harness) -> None:
        first, second = Gate(), Gate()
        with (
            running(harness, concurrency=2) as it,
            it.engine.open(a_listener("a", cancel=first)) as one,
            it.engine.open(a_listener("b", cancel=second)) as two,
        ):
            futures = [one.submit(unheard()), two.submit(unheard())]
            assert first.reached.wait(TIMEOUT_S)
            assert second.reached.wait(TIMEOUT_S)
            first.opened.set()
            second.opened.set()
            for future in futures:
                future.result(TIMEOUT_S)

    def test_one_file_never_takes_two_workers(self, harness: Harness) -> None:
        gate = Gate()
        with (
            running(harness, concurrency=2) as it,
            it.engine.open(a_listener("long", cancel=gate)) as long,
            it.engine.open(a_listener("short")) as short,
        ):
            futures = [long.submit(unheard(index)) for index in range(3)]
            assert gate.reached.wait(TIMEOUT_S)
            short.submit(unheard()).result(TIMEOUT_S)  # the other worker is free for it
            assert [future.running() for future in futures] == [True, False, False]
            gate.opened.set()
            for future in futures:
                future.result(TIMEOUT_S)

    def test_files_of_equal_standing_take_turns_and_urgent_ones_go_first(self, harness: Harness) -> None:
        gate = Gate()
        order: list[str] = []
        with running(harness) as it, it.engine.open(a_listener("holder", cancel=gate)) as holder:
            holder.submit(unheard())
            assert gate.reached.wait(TIMEOUT_S)
            futures = []
            for name, priority in (("a", Priority.NORMAL), ("b", Priority.NORMAL), ("urgent", Priority.HIGH)):
                hearing = it.engine.open(a_listener(name, priority=priority))
                for index in range(2):
                    future = hearing.submit(unheard(index))
                    future.add_done_callback(noting(order, name))
                    futures.append(future)
            gate.opened.set()
            for future in futures:
                future.result(TIMEOUT_S)
        assert order == ["urgent", "urgent", "a", "b", "a", "b"]

    def test_cancelling_drops_the_files_windows_and_no_others(self, harness: Harness) -> None:
        gate = Gate()
        with (
            running(harness) as it,
            it.engine.open(a_listener("stopped", cancel=gate)) as stopped,
            it.engine.open(a_listener("other")) as other,
        ):
            futures = [stopped.submit(harness.speech(index)) for index in range(3)]
            assert gate.reached.wait(TIMEOUT_S)
            innocent = other.submit(unheard())
            gate.cancel(JobCancelled("by the user"))
            for future in futures:
                with pytest.raises(JobCancelled):
                    future.result(TIMEOUT_S)
            assert innocent.result(TIMEOUT_S).segments == ()

    def test_leaving_a_file_drops_what_is_queued_for_it(self, harness: Harness) -> None:
        gate = Gate()
        with running(harness) as it:
            with it.engine.open(a_listener(cancel=gate)) as hearing:
                futures = [hearing.submit(unheard(index)) for index in range(2)]
                assert gate.reached.wait(TIMEOUT_S)
            with pytest.raises(CancelledError):
                futures[1].result(timeout=0)
            gate.opened.set()
            with pytest.raises(HandBack):
                futures[0].result(TIMEOUT_S)

    def test_closing_hands_back_what_is_left_and_takes_nothing_more(self, harness: Harness) -> None:
        gate = Gate()
        with running(harness) as it:
            hearing = it.engine.open(a_listener(cancel=gate))
            futures = [hearing.submit(unheard(index)) for index in range(2)]
            assert gate.reached.wait(TIMEOUT_S)
            closing = threading.Thread(target=it.engine.close)
            closing.start()
            with pytest.raises(HandBack):
                futures[1].result(TIMEOUT_S)
            gate.opened.set()
            with pytest.raises(HandBack):
                futures[0].result(TIMEOUT_S)
            closing.join(TIMEOUT_S)
            with pytest.raises(HandBack):
                hearing.submit(unheard()).result(TIMEOUT_S)
            with pytest.raises(HandBack):
                it.engine.open(a_listener())

    def test_a_window_that_fails_fails_alone(self, harness: Harness) -> None:
        broken = a_window(speech=cast("list[Span]", [None]))
        with running(harness) as it, it.engine.open(a_listener("bad")) as bad, it.engine.open(a_listener()) as good:
            futures: list[Any] = [bad.submit(broken), good.submit(unheard()), bad.submit(unheard(1))]
            with pytest.raises(AttributeError):
                futures[0].result(TIMEOUT_S)
            assert futures[1].result(TIMEOUT_S).segments == ()
            assert futures[2].result(TIMEOUT_S).segments == ()

    def test_a_file_is_heard_the_same_beside_others_and_after_them(self, harness: Harness) -> None:
        """Language, prompt and text so far belong to a file, not to the engine."""
        asked = SpeechOptions(language="de", prompt="Ein ganz anderer Text.", hotwords=("Zeppelin",))
        with running(harness, concurrency=2) as it:
            with it.engine.open(a_listener("same")) as alone:
                expected = [alone.submit(harness.speech(index)).result(TIMEOUT_S) for index in range(2)]
            with (
                it.engine.open(a_listener("other", options=asked)) as other,
                it.engine.open(a_listener("same")) as same,
            ):
                noise = [other.submit(harness.speech(index)) for index in range(2)]
                again = [same.submit(harness.speech(index)).result(TIMEOUT_S) for index in range(2)]
                assert [future.result(TIMEOUT_S).language for future in noise] == ["de", "de"]
        assert again == expected
        assert {heard.language for heard in again} == {"en"}

    @pytest.mark.parametrize(
        "options",
        [SpeechOptions(language="tlh"), SpeechOptions(languages=("en", "tlh"))],
        ids=["given", "among the allowed"],
    )
    def test_a_language_it_does_not_know_is_refused_at_once(self, harness: Harness, options: SpeechOptions) -> None:
        with running(harness) as it, pytest.raises(RejectJob, match="'tlh'") as caught:
            it.engine.open(a_listener(options=options))
        assert caught.value.reason is Reason.LANGUAGE_NOT_SUPPORTED
