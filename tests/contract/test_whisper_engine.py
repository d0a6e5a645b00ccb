"""The sequential engine keeps every promise of an engine, on the real small model."""

import threading
from contextlib import AbstractContextManager
from importlib.resources import as_file, files

import pytest

from tests.contract.engine_contract import FileByFileContract, Harness, held_by_a_gate
from tests.speech import MODELS, a_window, decoded
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Window
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.inference.sequential import SequentialEngine
from transcriber_worker.settings import EngineSettings, ModelSettings

MODEL = ModelSettings(cache_dir=MODELS, beam_size=1)


@pytest.fixture(scope="module")
def base_files() -> ModelFiles:
    return resolve(MODEL, print)


@pytest.fixture(scope="module")
def sentence() -> Pcm:
    with as_file(files("transcriber_worker.inference") / "warmup.ogg") as path:
        return decoded(path)


class WhisperHarness:
    def __init__(self, base_files: ModelFiles, sentence: Pcm) -> None:
        self._files = base_files
        self._sentence = sentence

    def engine(self, concurrency: int) -> SpeechEngine:
        return SequentialEngine(MODEL, EngineSettings(concurrency=concurrency), lambda: self._files, cores=2)

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        seconds = len(self._sentence) / SAMPLE_RATE_HZ
        return a_window(index, start_s=index * seconds, channel=channel, pcm=self._sentence)

    def held(self, engine: SpeechEngine) -> AbstractContextManager[None]:
        return held_by_a_gate(engine)


@pytest.mark.model
class TestSequentialEngine(FileByFileContract):
    @pytest.fixture
    def harness(self, base_files: ModelFiles, sentence: Pcm) -> WhisperHarness:
        return WhisperHarness(base_files, sentence)

    @pytest.mark.xfail(strict=True, reason="faster-whisper tells no language of a segment")
    def test_where_languages_are_mixed_each_segment_tells_its_own(self, harness: Harness) -> None:
        super().test_where_languages_are_mixed_each_segment_tells_its_own(harness)


def test_no_thread_is_left_behind() -> None:
    """Runs last in this module: every engine above was closed."""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")]
