"""One file's conversation: what it hands in, when, and what it makes of the answers."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.speech import a_listener, a_window
from tests.unit.inference.batched.scripted import (
    SURE_DE,
    SURE_EN,
    UNSURE_DE,
    UNSURE_EN,
    ScriptedDesk,
    marked,
    silent,
)
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import HandBack, JobCancelled, Reason, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.batched.hearing import FileHearing, Padding
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.prompts import NO_PROMPT, Prompt
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Ranking
from transcriber_worker.observability.labels import Retry
from transcriber_worker.observability.metrics import Metrics

ENGLISH = SpeechOptions(language="en")


class Counted(Meter):
    """Remembers what was decoded again."""

    def __init__(self) -> None:
        super().__init__(Metrics(CollectorRegistry()), ManualClock())
        self.retries: list[Retry] = []

    def again(self, retry: Retry) -> None:
        super().again(retry)
        self.retries.append(retry)


def a_hearing(
    desk: ScriptedDesk,
    options: SpeechOptions | None = None,
    *,
    cancel: CancelToken | None = None,
    prompt: Prompt = NO_PROMPT,
    padding: Padding = "full",
    meter: Counted | None = None,
    closed: list[FileHearing] | None = None,
) -> FileHearing:
    return FileHearing(
        desk,
        a_listener(options=options, cancel=cancel),
        prompt=prompt,
        padding=padding,
        meter=meter or Counted(),
        left=(list[FileHearing]() if closed is None else closed).append,
    )


def text(future: Future[HeardWindow]) -> str:
    """What was heard, by the first and last word of each segment."""
    return "".join(segment.text for segment in future.result(timeout=0).segments)


def languages(futures: Sequence[Future[HeardWindow]]) -> list[str | None]:
    return [future.result(timeout=0).language for future in futures]


class TestTheLanguage:
    def test_the_first_window_is_asked_at_once_and_the_others_wait_for_it(self) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        assert desk.log == [(0, None)]
        desk.answer(0)
        assert futures[0].done()
        assert desk.log == [(0, None), (1, "en"), (2, "en")]
        desk.answer_all()
        assert languages(futures) == ["en", "en", "en"]
        assert futures[2].result(timeout=0).language_probability == pytest.approx(0.9)

    def test_an_unsure_first_window_is_kept_until_the_next_two_were_asked(self) -> None:
        desk = ScriptedDesk({0: UNSURE_EN, 1: UNSURE_EN, 2: UNSURE_EN})
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(index)) for index in range(4)]
        desk.answer(0)
        assert not futures[0].done()
        assert desk.log == [(0, None), (1, None), (2, None)]
        desk.answer_all()
        assert languages(futures) == ["en"] * 4
        assert desk.log[3:] == [(3, "en")]  # nothing is heard twice

    def test_rows_heard_in_another_language_are_heard_again(self) -> None:
        meter, desk = Counted(), ScriptedDesk({0: UNSURE_EN, 1: SURE_DE, 2: UNSURE_EN})
        hearing = a_hearing(desk, meter=meter)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        desk.answer_all()
        assert sorted(desk.log[3:]) == [(0, "de"), (2, "de")]
        assert languages(futures) == ["de"] * 3
        assert all("en" not in text(future) for future in futures)
        assert meter.retries == [Retry.LANGUAGE, Retry.LANGUAGE]

    def test_finish_decides_with_what_there_is(self) -> None:
        desk = ScriptedDesk({0: UNSURE_DE, 1: UNSURE_DE})
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(index)) for index in range(2)]
        desk.answer_all()
        assert not futures[0].done()
        hearing.finish()
        assert languages(futures) == ["de", "de"]

    def test_a_channel_of_its_own_has_a_language_of_its_own(self) -> None:
        desk = ScriptedDesk({0: SURE_EN, 1: SURE_DE})
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(n, n // 2, channel=n % 2)) for n in range(2)]
        desk.answer_all()
        assert languages(futures) == ["en", "de"]

    def test_silence_is_answered_at_once_and_takes_its_channels_language(self) -> None:
        desk = ScriptedDesk({1: SURE_DE})
        hearing = a_hearing(desk)
        first, _, last = [hearing.submit(window) for window in (silent(0), marked(1), silent(2))]
        assert (first.result(timeout=0).language, first.result(timeout=0).language_probability) == (None, 0.0)
        assert not last.done()
        desk.answer_all()
        assert last.result(timeout=0).language == "de"
        assert last.result(timeout=0).segments == ()

    def test_a_given_language_is_not_asked_for(self) -> None:
        desk = ScriptedDesk()
        future = a_hearing(desk, SpeechOptions(language="pt")).submit(marked(0))
        assert desk.log == [(0, "pt")]
        desk.answer_all()
        assert (languages([future]), future.result(timeout=0).language_probability) == (["pt"], 1.0)

    def test_a_first_window_that_cannot_be_heard_leaves_the_say_to_the_next(self) -> None:
        desk = ScriptedDesk({1: SURE_DE, 2: SURE_DE})
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        desk.answer(0, RetryJob("no memory"))
        with pytest.raises(RetryJob):
            futures[0].result(timeout=0)
        desk.answer_all()
        assert languages(futures[1:]) == ["de", "de"]

    @given(data=st.data())
    @settings(deadline=None)
    def test_what_is_heard_depends_on_the_file_alone(self, data: st.DataObject) -> None:
        """Rows are answered in any order and at any moment between the submissions; the result is that of a hearing
        whose rows are answered at once."""
        count = data.draw(st.integers(1, 7))
        channels = data.draw(st.lists(st.sampled_from([0, 1]), min_size=count, max_size=count))
        quiet = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
        choice = st.sampled_from([SURE_EN, SURE_DE, UNSURE_EN, UNSURE_DE])
        rankings = {n: data.draw(choice) for n in range(count)}
        options = SpeechOptions(
            mixed=data.draw(st.booleans()), languages=data.draw(st.sampled_from([(), ("de", "fr")]))
        )
        windows = _interleaved(channels, quiet)

        expected = _all_heard(windows, rankings, options, lambda desk: desk.answer_all())
        heard = _all_heard(windows, rankings, options, lambda desk: _some(desk, data))

        assert heard == expected

    @given(
        channels=st.lists(st.sampled_from([0, 1, 2]), min_size=5, max_size=10),
        quiet=st.lists(st.booleans(), min_size=10, max_size=10),
        mixed=st.booleans(),
    )
    @settings(deadline=None)
    def test_a_pipeline_that_keeps_four_windows_on_the_way_is_never_kept_waiting_for_ever(
        self, channels: list[int], quiet: list[bool], mixed: bool
    ) -> None:
        desk = ScriptedDesk(dict.fromkeys(range(10), UNSURE_EN))
        hearing = a_hearing(desk, SpeechOptions(mixed=mixed))
        waiting: list[Future[HeardWindow]] = []
        for window in _interleaved(channels, quiet):
            waiting.append(hearing.submit(window))
            if len(waiting) == 4:
                desk.answer_all()
                assert waiting.pop(0).done()
        hearing.finish()
        desk.answer_all()
        assert all(future.done() for future in waiting)


def _interleaved(channels: Sequence[int], quiet: Sequence[bool]) -> list[Window]:
    counts = dict.fromkeys(channels, 0)
    windows = []
    for marker, (channel, no_speech) in enumerate(zip(channels, quiet, strict=False)):
        index = counts[channel]
        counts[channel] += 1
        windows.append(silent(index, channel=channel) if no_speech else marked(marker, index, channel=channel))
    return windows


def _all_heard(
    windows: Sequence[Window], rankings: dict[int, Ranking], options: SpeechOptions, meanwhile: Any
) -> list[HeardWindow]:
    desk = ScriptedDesk(rankings)
    hearing = a_hearing(desk, options)
    futures = []
    for window in windows:
        futures.append(hearing.submit(window))
        meanwhile(desk)
    hearing.finish()
    desk.answer_all()
    return [future.result(timeout=0) for future in futures]


def _some(desk: ScriptedDesk, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(0, 4))):
        if desk.asked:
            desk.answer_this(desk.asked[data.draw(st.integers(0, len(desk.asked) - 1))])


class TestMixed:
    OPTIONS = SpeechOptions(mixed=True)

    def test_each_window_is_heard_in_its_own_language(self) -> None:
        desk = ScriptedDesk({0: SURE_EN, 1: SURE_DE, 2: SURE_EN})
        hearing = a_hearing(desk, self.OPTIONS)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        desk.answer_all()
        assert languages(futures) == ["en", "de", "en"]
        assert [segment.language for segment in futures[1].result(timeout=0).segments] == ["de"]
        assert len(desk.log) == 3

    def test_where_a_window_is_unsure_the_files_language_counts(self) -> None:
        desk = ScriptedDesk({0: SURE_EN, 1: UNSURE_DE})
        hearing = a_hearing(desk, self.OPTIONS)
        futures = [hearing.submit(marked(index)) for index in range(2)]
        desk.answer_all()
        assert languages(futures) == ["en", "en"]
        assert "de" not in text(futures[1])

    def test_an_unsure_beginning_does_not_bend_the_windows_that_are_sure(self) -> None:
        desk = ScriptedDesk({0: UNSURE_EN, 1: SURE_DE, 2: SURE_DE})
        hearing = a_hearing(desk, self.OPTIONS)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        desk.answer_all()
        assert languages(futures) == ["de", "de", "de"]
        assert "en" not in text(futures[0])

    def test_without_it_segments_tell_no_language(self) -> None:
        desk = ScriptedDesk()
        future = a_hearing(desk).submit(marked(0))
        desk.answer_all()
        assert [segment.language for segment in future.result(timeout=0).segments] == [None]


class TestTheOrder:
    def test_windows_of_a_channel_are_answered_in_their_order(self) -> None:
        desk, order = ScriptedDesk(), list[int]()
        hearing = a_hearing(desk, ENGLISH)
        for index in range(3):
            hearing.submit(marked(index)).add_done_callback(_noting(order, index))
        for index in (2, 1, 0):
            assert order == []
            desk.answer(index)
        assert order == [0, 1, 2]

    def test_channels_do_not_wait_for_each_other(self) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk, ENGLISH)
        left = hearing.submit(marked(0, 0, channel=0))
        right = hearing.submit(marked(1, 0, channel=1))
        desk.answer(1)
        assert right.done()
        assert not left.done()

    def test_a_callback_may_come_back(self) -> None:
        """The pipeline submits the next window when one is answered."""
        desk, second = ScriptedDesk(), list[Future[HeardWindow]]()
        hearing = a_hearing(desk, ENGLISH)
        hearing.submit(marked(0)).add_done_callback(lambda _: second.append(hearing.submit(marked(1))))
        desk.answer_all()
        assert text(second[0]).startswith(" 1en.0")

    def test_further_rows_of_a_window_say_that_they_are(self) -> None:
        desk = ScriptedDesk({0: UNSURE_EN, 1: SURE_DE})
        hearing = a_hearing(desk)
        hearing.submit(marked(0))
        hearing.submit(marked(1))
        hearing.finish()
        desk.answer(0)
        desk.answer(1)
        assert [(asked.marker, asked.again) for asked in desk.asked] == [(0, True)]


def _noting(order: list[int], index: int) -> Any:
    return lambda _: order.append(index)


class TestSeams:
    def test_words_go_to_the_core_that_holds_their_middle(self) -> None:
        """Two windows of 3 s that overlap by one second around a cut at 2.5 s."""
        desk = ScriptedDesk()
        hearing = a_hearing(desk, SpeechOptions(language="en", word_timestamps=True))
        first = hearing.submit(a_window(0, start_s=0.0, pcm=marked(0).pcm, core=Span(0.0, 2.5)))
        second = hearing.submit(a_window(1, start_s=2.0, pcm=marked(1).pcm, core=Span(2.5, 5.0)))
        desk.answer_all()
        assert text(first) == " 0en.0 0en.1 0en.2 0en.3 0en.4"
        assert text(second) == " 1en.1 1en.2 1en.3 1en.4 1en.5"

    def test_a_word_heard_on_both_sides_of_a_cut_counts_once(self) -> None:
        """The same word ends at the cut in one and begins a little behind it in the other."""
        desk = ScriptedDesk()
        hearing = a_hearing(desk, ENGLISH)
        first = hearing.submit(a_window(0, start_s=0.0, pcm=marked(7).pcm, core=Span(0.0, 0.5)))
        second = hearing.submit(a_window(1, start_s=0.27, pcm=marked(7).pcm, core=Span(0.5, 3.27)))
        desk.answer_all()
        assert text(first) == " 7en.0"
        assert text(second) == " 7en.1 7en.2 7en.3 7en.4 7en.5"

    def test_words_that_were_not_asked_for_are_left_out(self) -> None:
        desk = ScriptedDesk()
        future = a_hearing(desk, ENGLISH).submit(marked(0))
        desk.answer_all()
        assert [segment.words for segment in future.result(timeout=0).segments] == [()]


class TestFailures:
    @pytest.mark.parametrize("error", [RetryJob("no memory"), RejectJob(Reason.INVALID_REQUEST, "no")])
    def test_a_window_fails_alone(self, error: Exception) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk, ENGLISH)
        futures = [hearing.submit(marked(index)) for index in range(2)]
        desk.answer(0, error)
        with pytest.raises(type(error)):
            futures[0].result(timeout=0)
        desk.answer_all()
        assert text(futures[1])

    def test_a_row_that_fails_for_no_known_reason_is_tried_otherwise(self) -> None:
        desk = ScriptedDesk()
        future = a_hearing(desk, ENGLISH).submit(marked(0))
        desk.answer(0, ValueError("bad luck"))
        assert not future.done()
        desk.answer_all()
        assert text(future)

    def test_what_cannot_be_heard_at_all_is_told(self) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk)
        future = hearing.submit(marked(0))
        hearing.finish()
        while desk.asked:
            desk.answer(0, ValueError("bad luck"))
        assert future.result(timeout=0).segments == ()
        assert future.result(timeout=0).lost == (Span(0.0, 3.0),)

    def test_a_window_that_makes_no_sense_fails_alone(self) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk)
        broken = hearing.submit(a_window(speech=cast("list[Span]", [None])))
        with pytest.raises(AttributeError):
            broken.result(timeout=0)
        good = hearing.submit(marked(1))
        desk.answer_all()
        assert languages([good]) == ["en"]

    @pytest.mark.parametrize("error", [WorkerBroken("dead"), HandBack("stopping")])
    def test_an_engine_that_ends_ends_the_file(self, error: Exception) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk)
        futures = [hearing.submit(marked(index)) for index in range(3)]  # two of them wait for the language
        desk.answer(0, error)
        futures.append(hearing.submit(marked(3)))
        for future in futures:
            with pytest.raises(type(error)):
                future.result(timeout=0)

    def test_a_cancelled_file_is_answered_at_once_and_what_comes_back_is_ignored(self) -> None:
        desk, token = ScriptedDesk(), CancelToken()
        hearing = a_hearing(desk, cancel=token)
        futures = [hearing.submit(marked(index)) for index in range(3)]
        token.cancel(JobCancelled("by the user"))
        futures.append(hearing.submit(marked(3)))
        for future in futures:
            with pytest.raises(JobCancelled):
                future.result(timeout=0)
        desk.answer_all()
        assert desk.log == [(0, None)]

    def test_the_reason_of_a_cancellation_may_reach_the_rows_first(self) -> None:
        desk, token = ScriptedDesk(), CancelToken()
        reason = JobCancelled("by the user")
        token.on_cancel(lambda: desk.answer(0, reason))
        future = a_hearing(desk, ENGLISH, cancel=token).submit(marked(0))
        token.cancel(reason)
        with pytest.raises(JobCancelled):
            future.result(timeout=0)
        assert desk.log == [(0, "en")]

    def test_leaving_answers_what_is_left(self) -> None:
        desk, closed = ScriptedDesk(), list[FileHearing]()
        with a_hearing(desk, closed=closed) as hearing:
            future = hearing.submit(marked(0))
        with pytest.raises(HandBack):
            future.result(timeout=0)
        assert desk.gone
        assert closed == [hearing]
        desk.answer(0)  # was in work

    def test_a_future_that_was_cancelled_holds_up_nobody(self) -> None:
        desk = ScriptedDesk()
        hearing = a_hearing(desk, ENGLISH)
        first, second = hearing.submit(marked(0)), hearing.submit(marked(1))
        assert first.cancel()
        desk.answer_all()
        assert text(second)


class TestRows:
    def test_they_carry_the_prompt_and_the_padding(self) -> None:
        desk = ScriptedDesk()
        a_hearing(desk, ENGLISH, prompt=Prompt((1, 2, 3), lambda _: False)).submit(marked(0))
        a_hearing(desk, ENGLISH, padding="adaptive").submit(marked(1))
        full, adaptive = [asked.row for asked in desk.asked]
        assert (full.prompt, full.recipe.prompt_tokens, full.frames) == ((1, 2, 3), 3, FULL_FRAMES)
        assert adaptive.frames < FULL_FRAMES

    def test_an_echo_of_the_prompt_is_heard_again_without_it(self) -> None:
        meter, desk = Counted(), ScriptedDesk()
        prompt = Prompt((1, 2, 3), lambda text: True)
        future = a_hearing(desk, ENGLISH, prompt=prompt, meter=meter).submit(marked(0))
        desk.answer(0)
        (again,) = desk.asked
        assert again.row.prompt == ()
        desk.answer_all()
        assert text(future)
        assert meter.retries == [Retry.NO_PROMPT]
