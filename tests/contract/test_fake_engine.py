"""The fake engine keeps every promise of an engine, and its words give away whose they are."""

from contextlib import AbstractContextManager

import pytest

from tests.contract.engine_contract import TIMEOUT_S, FileByFileContract, Gate, PipelineContract, held_by_a_gate, text
from tests.speech import a_listener, a_window
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import JobCancelled
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.fake import FakeEngine
from transcriber_worker.settings import EngineSettings


class FakeHarness:
    def engine(self, concurrency: int) -> SpeechEngine:
        return FakeEngine(EngineSettings(concurrency=concurrency), ManualClock())

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        return a_window(index, start_s=index * 4.0, seconds=4.0, channel=channel)

    def held(self, engine: SpeechEngine) -> AbstractContextManager[None]:
        return held_by_a_gate(engine)


class TestFakeEngine(FileByFileContract, PipelineContract):
    @pytest.fixture
    def harness(self) -> FakeHarness:
        return FakeHarness()


def test_every_word_is_stamped_with_its_window_and_whose_work_it_is() -> None:
    engine = FakeEngine(EngineSettings(), ManualClock())
    engine.start()
    window = a_window(7, start_s=10.0, seconds=6.0, speech=[Span(10.0, 12.5), Span(14.0, 15.0)])
    with engine.open(a_listener("j4711@2")) as hearing:
        heard = hearing.submit(window).result(TIMEOUT_S)
    engine.close()
    assert [segment.text for segment in heard.segments] == [" w7-j4711@2-0 w7-j4711@2-1 w7-j4711@2-2", " w7-j4711@2-3"]
    assert heard.tokens == 4


def test_speech_around_the_core_belongs_to_the_neighbours() -> None:
    engine = FakeEngine(EngineSettings(), ManualClock())
    engine.start()
    with engine.open(a_listener("j")) as hearing:
        heard = hearing.submit(a_window(seconds=5.0, core=Span(1.0, 4.0))).result(TIMEOUT_S)
    engine.close()
    assert text(heard) == " w0-j-0 w0-j-1 w0-j-2"


def test_the_pace_passes_on_the_clock_and_a_cancellation_ends_it() -> None:
    clock = ManualClock()
    engine = FakeEngine(EngineSettings(), clock, pace=0.5)
    engine.start()
    before = clock.now()
    with engine.open(a_listener()) as hearing:
        hearing.submit(a_window(seconds=60.0)).result(TIMEOUT_S)
    assert clock.now() - before == pytest.approx(30.0)

    gate = Gate()
    with engine.open(a_listener(cancel=gate)) as hearing:
        future = hearing.submit(a_window(seconds=60.0))
        assert gate.reached.wait(TIMEOUT_S)
        gate.cancel(JobCancelled("by the user"))
        with pytest.raises(JobCancelled):
            future.result(TIMEOUT_S)
    engine.close()
