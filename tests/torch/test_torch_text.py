"""What is written down with the torch encoder is what is written down with CTranslate2's, and in the memory that it was
said to take."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.speech import CORPUS, PROJECT, decoded
from tests.torch.models import LARGE_V3, a_meter, write_random
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Recipe, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.settings import EncoderKind

pytestmark = pytest.mark.model
PLAIN = Runtime("cpu", "float32", beam_size=5, workers=1, cpu_threads=1)
RECORDINGS = PROJECT / "demo" / "recordings"
WINDOW_SAMPLES = 29 * SAMPLE_RATE_HZ
CLOSE_S = 0.021
"""The model's own step, in which the time of a word is found, is 0.02 s."""


@pytest.fixture(scope="module")
def both(base_files: ModelFiles) -> tuple[WhisperBatchModel, WhisperBatchModel]:
    with_torch = WhisperBatchModel.load(base_files, replace(PLAIN, encoder=EncoderKind.TORCH), a_meter())
    assert with_torch.encoder == "torch"
    return WhisperBatchModel.load(base_files, PLAIN, a_meter()), with_torch


def a_row(pcm: Pcm, language: str | None = None, frames: int = FULL_FRAMES) -> Row:
    return Row(pcm, frames, Recipe(), Task.TRANSCRIBE, (), language, lambda ranking: ranking[0][0])


@cache
def windows(path: Path) -> list[Pcm]:
    pcm = decoded(path)
    return [pcm[at : at + WINDOW_SAMPLES] for at in range(0, len(pcm), WINDOW_SAMPLES)]


def assert_same(found: Decoded, expected: Decoded) -> None:
    assert (found.text, found.language) == (expected.text, expected.language)
    assert [word.text for word in found.words] == [word.text for word in expected.words]
    for word, other in zip(found.words, expected.words, strict=True):
        assert abs(word.start_s - other.start_s) <= CLOSE_S
        assert abs(word.end_s - other.end_s) <= CLOSE_S
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-3)


def test_recordings_in_one_batch_read_the_same(both: tuple[WhisperBatchModel, WhisperBatchModel]) -> None:
    """Whose language is given beside others, whose rows are picked out of the batch."""
    names = {"ferry-notice.wav": "en", "herbstgarten.flac": None, "good-bread.mp3": "en", "mercado.ogg": None}
    rows = [a_row(windows(RECORDINGS / name)[0], language) for name, language in names.items()]
    expected, found = (model.decode(rows) for model in both)
    for one, other in zip(found, expected, strict=True):
        assert one.words
        assert_same(one, other)


def test_what_torch_takes_on_the_cpu_is_counted(both: tuple[WhisperBatchModel, WhisperBatchModel]) -> None:
    """All rows of a batch are encoded at once, and the encoder's weights are there again, in float32."""
    plain, with_torch = both
    assert with_torch.row_bytes(FULL_FRAMES) - plain.row_bytes(FULL_FRAMES) == 10 * 1500 * 512 * 4
    assert with_torch.fixed_bytes - plain.fixed_bytes == 4 * 20_593_665


def test_windows_shorter_than_the_model_was_trained_on_read_the_same(
    both: tuple[WhisperBatchModel, WhisperBatchModel],
) -> None:
    row = a_row(windows(RECORDINGS / "ferry-notice.wav")[0], frames=1400)
    expected, found = (model.decode([row])[0] for model in both)
    assert_same(found, expected)


def corpus() -> list[str]:
    """Good recordings in which it is known what is said."""
    manifest = CORPUS / "manifest.json"
    if not manifest.is_file():
        return []
    return [entry["file"] for entry in json.loads(manifest.read_text()) if entry["kind"] == "good"]


@pytest.mark.parametrize("name", corpus() or ["none"])
def test_the_corpus_reads_the_same(both: tuple[WhisperBatchModel, WhisperBatchModel], name: str) -> None:
    if name == "none":
        pytest.skip("no recordings beside this checkout (shared/corpus)")
    rows = [a_row(pcm) for pcm in windows(CORPUS / name)]
    expected, found = ([model.decode([row])[0] for row in rows] for model in both)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


PEAK = """
import sys
from pathlib import Path
import numpy as np, torch
from faster_whisper.feature_extractor import FeatureExtractor
from tests.peak_memory import peak_bytes
from tests.torch.models import a_meter
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.torch_encoder.device import CpuDevice
from transcriber_worker.inference.batched.torch_encoder.encoder import TorchEncoder

weights, rows = Path(sys.argv[1]), 6
encoder = TorchEncoder(weights, FeatureExtractor(128), CpuDevice(1), torch.float32, a_meter())
pcm = np.random.default_rng(1).integers(-3000, 3000, 480_000, np.int16)
one, all_rows = (peak_bytes(lambda: encoder.encode([pcm] * count, 3000)) for count in (1, rows))
print((all_rows - one) / (rows - 1), Dimensions.read(weights).fused_encoding_bytes(3000, 4))
"""


def test_the_memory_of_a_row_is_known_beforehand(tmp_path: Path) -> None:
    """Of a large model, in a process of its own, give or take half."""
    model = write_random(tmp_path, replace(LARGE_V3, encoder_layers=2, decoder_layers=1))
    command = [sys.executable, "-c", PEAK, str(model / "model.bin")]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    measured, estimated = map(float, run.stdout.split())
    assert 1 / 1.5 <= measured / estimated <= 1.5, (measured, estimated)
