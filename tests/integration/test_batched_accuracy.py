"""What the batching engine makes of real speech, noise and silence, on the real small model: no sentence is skipped,
each language gets its own words, and nothing is invented."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.accuracy import batched, heard, references, running, text_of, windows_of
from tests.mixtures import RECORDINGS, Turn, together, turn, write
from tests.mixtures import text_of as together_text
from tests.speech import MODELS, a_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Window
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import SpeechOptions, Task
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import FULL_FRAMES
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.inference.speech import stretches
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import ModelSettings
from transcriber_worker.tools.bench.word_errors import missing_run, wer

pytestmark = pytest.mark.model
SETTINGS = batched()
SKIPPED_WORDS = 5


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return resolve(ModelSettings(cache_dir=MODELS), print)


@pytest.fixture(scope="module")
def engine(files: ModelFiles) -> Iterator[SpeechEngine]:
    with running(SETTINGS, files) as engine:
        yield engine


def plainly(files: ModelFiles, window: Window, language: str) -> str:
    """What the model says of a window heard once, as faster-whisper's own batches do."""
    cpu = Runtime(device="cpu", compute_type="int8", beam_size=5, workers=1, cpu_threads=2)
    model = WhisperBatchModel.load(files, cpu, Meter(Metrics(CollectorRegistry()), SystemClock()))
    row = Passage(window, stretches(window)).row(
        frames=FULL_FRAMES, task=Task.TRANSCRIBE, prompt=(), language=language, choose_language=lambda _: language
    )
    return model.decode([row])[0].text


def cut(pcm: Pcm, folder: Path) -> list[Window]:
    (windows,) = windows_of([write(pcm, folder / "recording.wav")], SETTINGS)
    return windows


def said_in(language: str, parts: list[HeardWindow]) -> str:
    return "".join(s.text for part in parts for s in part.segments if s.language == language)


def test_recordings_of_one_voice_or_two(engine: SpeechEngine) -> None:
    names = ["slow-clock.m4a", "herbstgarten.flac", "ferry-notice.wav"]
    texts = references(RECORDINGS)
    for name, windows in zip(names, windows_of([RECORDINGS / name for name in names], SETTINGS), strict=True):
        text = text_of(heard(engine, windows))
        assert wer(texts[name], text) < 0.1, text
        assert len(missing_run(texts[name], text)) < SKIPPED_WORDS


GARDEN, NURSE = ("herbstgarten.flac", 0), ("night-train.opus", 1)


@pytest.mark.parametrize("order", [(GARDEN, NURSE), (NURSE, GARDEN)], ids=["the second skipped", "the other way round"])
def test_a_sentence_that_the_model_skips_is_heard(
    engine: SpeechEngine, files: ModelFiles, order: tuple[tuple[str, int], tuple[str, int]], tmp_path: Path
) -> None:
    """Two languages in one window: heard once in the first of them, the other one gets no words at all."""
    turns = [turn(*each) for each in order]
    windows = cut(together(turns), tmp_path)
    assert len(windows) == 1
    once = plainly(files, windows[0], turns[0].language)
    assert len(missing_run(together_text(turns), once)) >= SKIPPED_WORDS

    parts = heard(engine, windows, SpeechOptions(mixed=True))

    for each in turns:
        own = said_in(each.language, parts)
        assert wer(each.text, own) < 0.1, own
    assert [part.wordless for part in parts] == [()]


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16)


def noise(seconds: float, loudness: float) -> Pcm:
    chance = np.random.default_rng(7)
    samples = chance.standard_normal(round(seconds * SAMPLE_RATE_HZ)) * loudness * 32767
    return samples.clip(-32768, 32767).astype(np.int16)


def a_third_of_a_second(spoken: Turn, at_s: float) -> Pcm:
    return spoken.pcm[round(at_s * SAMPLE_RATE_HZ) :][: round(0.3 * SAMPLE_RATE_HZ)]


def test_nothing_is_invented_even_where_the_detector_claims_speech(engine: SpeechEngine) -> None:
    spoken = turn(*NURSE)
    quiet = [silence(0.3), silence(10), noise(0.3, 0.01), noise(3, 0.1), noise(28, 0.01)]
    blinks = [a_third_of_a_second(spoken, at_s) for at_s in (0.0, 1.3, 4.0)]
    windows = [a_window(at, start_s=at * 40.0, pcm=pcm) for at, pcm in enumerate(quiet + blinks)]
    parts = heard(engine, windows, SpeechOptions(language="en"))
    assert [text_of([part]) for part in parts] == [""] * len(windows)


def test_a_short_word_that_was_said_is_kept(engine: SpeechEngine) -> None:
    """ "Yes, that is right." cut behind its first word."""
    yes = turn("parcel-call.opus", 3)
    assert yes.text.startswith("Yes,")
    clip = yes.pcm[: round(0.5 * SAMPLE_RATE_HZ)]
    assert text_of(heard(engine, [a_window(pcm=clip)], SpeechOptions(language="en"))).strip(" .,!") == "Yes"
