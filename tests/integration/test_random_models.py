"""Random models, made and loaded for real: whoever decodes with them writes about as much as was said."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import BatchedInferencePipeline, WhisperModel
from prometheus_client import CollectorRegistry

from tests.media_files import RECORDINGS
from tests.speech import MODELS, decoded
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Recipe, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.inference.random_model.making import RandomModel, random_model
from transcriber_worker.inference.random_model.shapes import TINY, TURBO
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import ModelSettings

pytestmark = pytest.mark.model
CUT = replace(TURBO, name="random-cut", encoder_layers=2, decoder_layers=2, alignment_heads=((1, 4), (1, 11)))
"""As wide as the large ones, whose encoders take minutes here."""
RUNTIME = Runtime(device="cpu", compute_type="float32", beam_size=1, workers=1, cpu_threads=1)
NAMES = ("ferry-notice.wav", "good-bread.mp3", "herbstgarten.flac", "mercado.ogg", "night-train.opus", "slow-clock.m4a")


@cache
def speech() -> Pcm:
    """Recordings of several people, one after the other: three minutes."""
    return np.concatenate([decoded(RECORDINGS / name) for name in NAMES])


def stretches(seconds: float, every_s: float) -> list[Pcm]:
    length, step = round(seconds * SAMPLE_RATE_HZ), round(every_s * SAMPLE_RATE_HZ)
    return [speech()[start : start + length] for start in range(0, len(speech()) - length, step)]


@pytest.fixture(scope="module")
def vocabulary_of() -> Path:
    return resolve(ModelSettings(cache_dir=MODELS), print).path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random")


@pytest.fixture(scope="module")
def tiny(place: Path, vocabulary_of: Path) -> RandomModel:
    return random_model(TINY, place, vocabulary_of)


def loaded(made: RandomModel, runtime: Runtime = RUNTIME) -> WhisperBatchModel:
    files = ModelFiles(made.name, made.path, made.sha256)
    return WhisperBatchModel.load(files, runtime, Meter(Metrics(CollectorRegistry()), SystemClock()))


@pytest.fixture(scope="module")
def model(tiny: RandomModel) -> WhisperBatchModel:
    return loaded(tiny)


def heard(model: WhisperBatchModel, windows: list[Pcm], prompt: tuple[int, ...] = ()) -> list[Decoded]:
    recipe = Recipe(len(prompt))
    rows = [Row(p, FULL_FRAMES, recipe, Task.TRANSCRIBE, prompt, None, lambda ranking: ranking[0][0]) for p in windows]
    return [one for at in range(0, len(rows), 4) for one in model.decode(rows[at : at + 4])]


@pytest.fixture(scope="module")
def full(model: WhisperBatchModel) -> list[Decoded]:
    return heard(model, stretches(29.0, 6.0))


def tokens(rows: list[Decoded]) -> Any:
    return np.array([row.tokens for row in rows])


def test_windows_get_as_many_tokens_as_speech_has_some_more_some_less(full: list[Decoded]) -> None:
    counts = tokens(full)
    assert 75 <= counts.mean() <= 110
    assert 6 <= counts.std() <= 25
    assert counts.max() >= 1.2 * np.median(counts)  # a tail of fast talkers
    assert counts.min() >= 55
    assert counts.max() <= 190


def test_shorter_audio_gets_less_text(model: WhisperBatchModel, full: list[Decoded]) -> None:
    half = tokens(heard(model, stretches(14.5, 12.0))).mean()
    short = tokens(heard(model, stretches(6.0, 12.0))).mean()
    assert half == pytest.approx(tokens(full).mean() / 2, rel=0.15)
    assert short == pytest.approx(tokens(full).mean() * 6 / 29, rel=0.3)


def test_what_is_written_is_believed_so_that_nothing_is_decoded_again(full: list[Decoded]) -> None:
    for row in full:
        assert row.language == "en"
        assert row.ranking[0][1] > 0.9
        assert -0.9 < row.avg_logprob < -0.1  # neither doubted nor surer than real models are
        assert row.compression_ratio < 2.2
        assert row.no_speech_prob < 0.1


def test_windows_differ_in_their_words(full: list[Decoded]) -> None:
    assert len({row.text for row in full}) > 0.7 * len(full)


def test_words_are_spread_over_the_audio(full: list[Decoded]) -> None:
    """Where they left speech out, it would be listened to again."""
    for row in full:
        assert row.words[0].start_s < 2.0
        assert row.words[-1].end_s > 27.0
        assert max(after.start_s - word.end_s for word, after in pairwise(row.words)) < 2.0


def test_the_text_before_makes_no_difference_to_the_length(model: WhisperBatchModel) -> None:
    windows = stretches(29.0, 40.0)
    without = tokens(heard(model, windows))
    prompt = model.encode_text("What somebody said in the minute before, and it was about the weather and the roads.")
    assert tokens(heard(model, windows, prompt)) == pytest.approx(without, abs=3)


def test_beams_end_where_the_most_probable_text_does(tiny: RandomModel, full: list[Decoded]) -> None:
    beams = tokens(heard(loaded(tiny, replace(RUNTIME, beam_size=5)), stretches(29.0, 24.0)))
    assert beams.mean() == pytest.approx(tokens(full)[::4].mean(), rel=0.08)


def test_quantised_it_is_about_the_same(tiny: RandomModel, full: list[Decoded]) -> None:
    quantised = tokens(heard(loaded(tiny, replace(RUNTIME, compute_type="int8")), stretches(29.0, 12.0)))
    assert quantised.mean() == pytest.approx(tokens(full)[::2].mean(), rel=0.1)


def test_faster_whispers_own_ways_have_as_much_to_do(tiny: RandomModel, full: list[Decoded]) -> None:
    """By the second of audio, whichever way it is cut: with timestamps and the text before, and in batches."""
    whisper = WhisperModel(str(tiny.path), device="cpu", compute_type="float32", cpu_threads=1)
    samples = speech().astype(np.float32) / 32768.0
    ways: dict[str, Any] = {"direct": whisper, "pipeline": BatchedInferencePipeline(whisper)}
    for name, way in ways.items():
        segments, info = way.transcribe(samples, beam_size=1, word_timestamps=True, vad_filter=True)
        found = list(segments)
        count = sum(token < 50257 for segment in found for token in segment.tokens)
        assert {segment.temperature for segment in found} == {0.0}, name
        assert count / info.duration_after_vad == pytest.approx(tokens(full).mean() / 29.0, rel=0.15), name


def test_a_model_as_wide_as_the_large_ones_writes_as_much(place: Path, vocabulary_of: Path) -> None:
    rows = heard(loaded(random_model(CUT, place, vocabulary_of)), stretches(29.0, 30.0)[:4])
    assert 75 <= tokens(rows).mean() <= 115
    assert all(row.compression_ratio < 2.2 and row.avg_logprob > -0.9 for row in rows)
    assert all(row.words[-1].end_s > 26.0 for row in rows)


def test_a_model_is_made_once_and_the_same_everywhere(tiny: RandomModel, tmp_path: Path, vocabulary_of: Path) -> None:
    weights = tiny.path / "model.bin"
    made_at = weights.stat().st_mtime_ns
    assert random_model(TINY, tiny.path.parent, vocabulary_of) == tiny
    assert weights.stat().st_mtime_ns == made_at
    assert random_model(TINY, tmp_path, vocabulary_of).sha256 == tiny.sha256


def test_one_that_was_not_finished_or_has_another_shape_is_made_anew(tmp_path: Path, vocabulary_of: Path) -> None:
    made = random_model(TINY, tmp_path, vocabulary_of)
    (made.path / "made.json").unlink()
    (made.path / "model.bin").write_bytes(b"half of it")
    assert random_model(TINY, tmp_path, vocabulary_of) == made
    other = random_model(replace(TINY, decoder_layers=3, alignment_heads=((2, 2),)), tmp_path, vocabulary_of)
    assert other.sha256 != made.sha256
