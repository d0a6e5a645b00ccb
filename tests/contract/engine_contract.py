"""What every speech engine promises. Subclass `EngineContract` and provide the `harness` fixture."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import pytest

from tests.speech import a_listener, a_window
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled, Reason, RejectJob
from transcriber_worker.domain.job import Priority, SpeechOptions, Task
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import EngineInfo, SpeechEngine

TIMEOUT_S = 60.0
ENGLISH = SpeechOptions(language="en")
UNCLEAR = SpeechOptions(languages=("de", "es"), task=Task.TRANSLATE)
"""English speech is neither; translated into English it comes out well even so, so that no engine tries again and again
to hear better."""
T = TypeVar("T")


class Harness(Protocol):
    """How the suite gets an engine and something for it to hear."""

    def engine(self, concurrency: int) -> SpeechEngine:
        """A new engine, not started, that works on `concurrency` windows at a time."""
        ...

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        """The window `index` of a recording that holds a few spoken words of English in each."""
        ...

    def held(self, engine: SpeechEngine) -> AbstractContextManager[None]:
        """Meanwhile the only worker of `engine` is busy with something else."""
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


@contextmanager
def held_by_a_gate(engine: SpeechEngine) -> Iterator[None]:
    """For engines that look at a file's stop sign before every step."""
    gate = Gate()
    with engine.open(a_listener("holder", cancel=gate)) as holder:
        holder.submit(unheard())
        assert gate.reached.wait(TIMEOUT_S)
        try:
            yield
        finally:
            gate.opened.set()


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
            assert (it.info.workers, it.info.max_batch_windows) == (2, 1)

    def test_the_windows_of_a_file_are_answered_in_order_and_in_their_own_place(self, harness: Harness) -> None:
        with running(harness, concurrency=2) as it, it.engine.open(a_listener()) as hearing:
            done: list[int] = []
            windows = [harness.speech(index) for index in range(3)]
            futures = [hearing.submit(window) for window in windows]
            hearing.finish()
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
            plain, worded = [
                hear(it, harness, SpeechOptions(word_timestamps=asked), windows=1)[0] for asked in (False, True)
            ]
        assert all(segment.words == () for segment in plain.segments)
        assert text(plain) == text(worded)
        for segment in worded.segments:
            assert "".join(word.text for word in segment.words) == segment.text
            times = [time for word in segment.words for time in (word.start_s, word.end_s)]
            assert times == sorted(times)

    def test_segments_say_which_channel_they_are_of(self, harness: Harness) -> None:
        with running(harness) as it, it.engine.open(a_listener()) as hearing:
            futures = [hearing.submit(harness.speech(channel=channel)) for channel in (0, 1)]
            hearing.finish()
            heard = [future.result(TIMEOUT_S) for future in futures]
        assert [{segment.channel for segment in window.segments} for window in heard] == [{0}, {1}]

    def test_files_of_equal_standing_take_turns_and_urgent_ones_go_first(self, harness: Harness) -> None:
        order: list[str] = []
        futures = []
        with running(harness) as it:
            with harness.held(it.engine):
                for name, priority in (("a", Priority.NORMAL), ("b", Priority.NORMAL), ("urgent", Priority.HIGH)):
                    hearing = it.engine.open(a_listener(name, options=ENGLISH, priority=priority))
                    for index in range(2):
                        future = hearing.submit(harness.speech(index))
                        future.add_done_callback(noting(order, name))
                        futures.append(future)
            for future in futures:
                future.result(TIMEOUT_S)
        assert order == ["urgent", "urgent", "a", "b", "a", "b"]

    def test_cancelling_drops_the_files_windows_at_once_and_no_others(self, harness: Harness) -> None:
        token = CancelToken()
        with (
            running(harness) as it,
            it.engine.open(a_listener("stopped", cancel=token)) as stopped,
            it.engine.open(a_listener("other")) as other,
        ):
            with harness.held(it.engine):
                futures = [stopped.submit(harness.speech(index)) for index in range(3)]
                innocent = other.submit(harness.speech())
                other.finish()
                token.cancel(JobCancelled("by the user"))
                futures.append(stopped.submit(harness.speech(3)))
                for future in futures:
                    with pytest.raises(JobCancelled):
                        future.result(timeout=0)
            assert text(innocent.result(TIMEOUT_S))

    def test_leaving_a_file_drops_what_is_queued_for_it(self, harness: Harness) -> None:
        with running(harness) as it, harness.held(it.engine):
            with it.engine.open(a_listener()) as hearing:
                futures = [hearing.submit(harness.speech(index)) for index in range(2)]
            for future in futures:
                with pytest.raises((CancelledError, HandBack)):
                    future.result(timeout=0)

    def test_closing_hands_back_what_is_left_and_takes_nothing_more(self, harness: Harness) -> None:
        with running(harness) as it:
            hearing = it.engine.open(a_listener())
            with harness.held(it.engine):
                futures = [hearing.submit(harness.speech(index)) for index in range(2)]
                closing = threading.Thread(target=it.engine.close)
                closing.start()
                for future in futures:
                    with pytest.raises(HandBack):
                        future.result(TIMEOUT_S)
            closing.join(TIMEOUT_S)
            assert not closing.is_alive()
            with pytest.raises(HandBack):
                hearing.submit(harness.speech(2)).result(TIMEOUT_S)
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
        asked = SpeechOptions(language="de", task=Task.TRANSLATE, prompt="A different text.", hotwords=("Zeppelin",))
        with running(harness, concurrency=2) as it:
            expected = hear(it, harness, windows=2)
            with it.engine.open(a_listener("other", options=asked)) as other:
                noise = [other.submit(harness.speech(index)) for index in range(2)]
                again = hear(it, harness, windows=2)
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

    def test_a_short_file_in_no_clear_language_is_answered_when_no_window_follows(self, harness: Harness) -> None:
        with running(harness) as it:
            heard = hear(it, harness, UNCLEAR, windows=2)
        (language,) = {window.language for window in heard}
        assert language in UNCLEAR.languages

    def test_where_languages_are_mixed_each_segment_tells_its_own(self, harness: Harness) -> None:
        with running(harness) as it:
            heard = hear(it, harness, SpeechOptions(mixed=True), windows=2)
            plain = hear(it, harness, windows=2)
        assert [text(window) for window in heard] == [text(window) for window in plain]
        assert [{segment.language for segment in window.segments} for window in heard] == [{"en"}, {"en"}]
        assert [{segment.language for segment in window.segments} for window in plain] == [{None}, {None}]


def hear(it: Running, harness: Harness, options: SpeechOptions | None = None, *, windows: int) -> list[HeardWindow]:
    """Hear a whole recording of so many windows."""
    with it.engine.open(a_listener("same", options=options)) as hearing:
        futures = [hearing.submit(harness.speech(index)) for index in range(windows)]
        hearing.finish()
        return [future.result(TIMEOUT_S) for future in futures]


class PipelineContract:
    """What waits for what, whatever the model: a real one would only take longer."""

    @pytest.mark.parametrize("channels", [(0, 1, 0, 1, 0), (0, 1, 1, 1, 0), (None,) * 5], ids=str)
    def test_a_pipeline_that_keeps_four_windows_on_the_way_goes_on(
        self, harness: Harness, channels: tuple[int | None, ...]
    ) -> None:
        """Though the language is not clear, and would be asked of windows that are not submitted yet."""
        counts: Counter[int | None] = Counter()
        waiting: list[Future[HeardWindow]] = []
        with running(harness) as it, it.engine.open(a_listener(options=UNCLEAR)) as hearing:
            for channel in channels:
                waiting.append(hearing.submit(harness.speech(counts[channel], channel)))
                counts[channel] += 1
                if len(waiting) == 4:
                    assert text(waiting.pop(0).result(TIMEOUT_S))
            hearing.finish()
            for future in waiting:
                assert text(future.result(TIMEOUT_S))


class FileByFileContract(EngineContract):
    """Of engines that hear one window of a file after the other, on a worker of its own. The batching engine fills its
    batches with a file's windows where there are no others."""

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

    def test_a_cancelled_window_stops_at_its_next_step(self, harness: Harness) -> None:
        gate = Gate()
        with running(harness) as it, it.engine.open(a_listener(cancel=gate)) as hearing:
            future = hearing.submit(harness.speech())
            assert gate.reached.wait(TIMEOUT_S)
            gate.cancel(JobCancelled("by the user"))
            with pytest.raises(JobCancelled):
                future.result(TIMEOUT_S)
