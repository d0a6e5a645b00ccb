"""The torch encoder hears what CTranslate2's encoder hears, and hands it over in place. On the CPU, in float32."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ctranslate2 import DataType

from tests.speech import PROJECT, decoded
from tests.torch.models import LARGE_V3, TINY, TURBO, Shape, a_meter, apart, loaded, write_random
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.inference.batched.encoder import CTranslate2Encoder, mel_features
from transcriber_worker.inference.batched.rows import FULL_FRAMES
from transcriber_worker.inference.batched.torch_encoder.device import CpuDevice
from transcriber_worker.inference.batched.torch_encoder.encoder import TorchEncoder, TorchStates, precision
from transcriber_worker.inference.batched.torch_encoder.features import LogMel
from transcriber_worker.inference.batched.torch_encoder.network import Layer
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles

MOST_APART = 1e-4
NAMES = ("ferry-notice.wav", "herbstgarten.flac", "mercado.ogg", "storm-damaged.mp3")


@cache
def heard(name: str) -> Pcm:
    return decoded(PROJECT / "demo" / "recordings" / name)[: 29 * SAMPLE_RATE_HZ]


def rows() -> list[Pcm]:
    """Speech of several lengths and languages, and next to nothing."""
    return [*map(heard, NAMES), heard(NAMES[0])[:70_001], heard(NAMES[0])[10_000:10_100], np.zeros(0, np.int16)]


def encoders(folder: Path, compute_type: str = "float32") -> tuple[CTranslate2Encoder, TorchEncoder, Any]:
    whisper = loaded(folder, compute_type)
    extractor, meter = whisper.feature_extractor, a_meter()
    own = TorchEncoder(folder / WEIGHTS, extractor, CpuDevice(1), precision("cpu", compute_type), meter)
    return CTranslate2Encoder(whisper, meter), own, whisper


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> TorchEncoder:
    return encoders(tiny)[1]


class TestAgainstCTranslate2:
    @pytest.mark.model
    @pytest.mark.parametrize("frames", [FULL_FRAMES, 1000])
    def test_the_real_small_model_hears_the_same(self, base_files: ModelFiles, frames: int) -> None:
        expected, own, _ = encoders(base_files.path)
        assert apart(own.encode(rows(), frames).states, expected.encode(rows(), frames).states) <= MOST_APART

    @pytest.mark.parametrize("shape", [LARGE_V3, TURBO], ids=["large-v3", "turbo"])
    def test_models_of_the_large_shapes_hear_the_same(self, tmp_path: Path, shape: Shape) -> None:
        """What is decoded from either is the same, token for token."""
        expected, own, whisper = encoders(write_random(tmp_path, shape))
        theirs, ours = (each.encode(rows()[3:5], FULL_FRAMES) for each in (expected, own))
        assert np.asarray(ours.states).shape == (2, 1500, 1280)
        assert apart(ours.states, theirs.states) <= MOST_APART
        assert said(whisper, ours.states) == said(whisper, theirs.states)

    @pytest.mark.parametrize("stored", ["float32", "float16", "int16", "int8", "int8_float16"])
    def test_weights_are_understood_however_they_are_stored(self, tmp_path: Path, stored: str) -> None:
        """CTranslate2 computes in float32 whatever they are stored as, but for its own quantised products."""
        expected, own, _ = encoders(write_random(tmp_path, TINY, stored), "float32")
        assert apart(own.encode(rows()[:2], 800).states, expected.encode(rows()[:2], 800).states) <= MOST_APART


def said(whisper: Any, states: Any) -> list[Any]:
    """A text by beam search, and where it lies."""
    prompt = [5, 6, 8, 12]
    results = whisper.model.generate(states, [prompt] * states.shape[0], beam_size=3, max_length=24)
    tokens = [result.sequences_ids[0] for result in results]
    aligned = whisper.model.align(states, [5], [text or [0] for text in tokens], [3000] * states.shape[0])
    return [tokens, [one.alignments for one in aligned]]


class TestFeatures:
    def test_they_are_faster_whispers_but_for_the_last_digits(self, tiny: Path) -> None:
        extractor = loaded(tiny).feature_extractor
        for frames in (FULL_FRAMES, 400):
            expected = mel_features(extractor, rows(), frames)
            found = LogMel(extractor, torch.device("cpu"))(rows(), frames).numpy()
            assert found.shape == expected.shape
            assert found.dtype == np.float32
            assert np.abs(found - expected).max() < 1e-3
            assert np.array_equal(found == 0.0, expected == 0.0)  # nought follows a row, at the same frame

    def test_a_noise_at_the_very_end_counts_for_how_loud_a_row_is(self, tiny: Path) -> None:
        """faster-whisper measures in one frame more than it keeps."""
        pcm = np.random.default_rng(2).integers(-20, 20, SAMPLE_RATE_HZ + 150, np.int16)
        pcm[-40:] = 30_000
        extractor = loaded(tiny).feature_extractor
        found = LogMel(extractor, torch.device("cpu"))([pcm], 400).numpy()
        assert np.abs(found - mel_features(extractor, [pcm], 400)).max() < 1e-3

    def test_loudness_is_measured_within_a_row(self, tiny: Path) -> None:
        mel = LogMel(loaded(tiny).feature_extractor, torch.device("cpu"))
        loud = np.random.default_rng(1).integers(-30_000, 30_000, 2 * SAMPLE_RATE_HZ).astype(np.int16)
        quiet = loud[:SAMPLE_RATE_HZ] // 2000
        assert torch.equal(mel([loud, quiet], 400)[1], mel([quiet], 400)[0])

    def test_thirty_seconds_are_the_most(self, encoder: TorchEncoder) -> None:
        with pytest.raises(ValueError, match=r"30\.1 s: the model hears 30 s"):
            encoder.encode([np.zeros(round(30.1 * SAMPLE_RATE_HZ), np.int16)], FULL_FRAMES)


class TestStates:
    def test_rows_one_after_another_are_handed_over_in_place(self) -> None:
        """What changes in the tensor changes in what CTranslate2 was given: it is the same memory."""
        tensor = torch.randn(4, 6, 3)
        states = TorchStates(tensor, CpuDevice(1))
        whole, middle = np.asarray(states.states), np.asarray(states.of([1, 2]))
        tensor += 1
        assert np.array_equal(whole, tensor.numpy())
        assert np.array_equal(middle, tensor[1:3].numpy())

    @pytest.mark.parametrize("picked", [[0], [3], [3, 0], [0, 2], [0, 1, 2, 3]])
    def test_rows_are_picked_in_the_order_asked_for(self, picked: list[int]) -> None:
        tensor = torch.randn(4, 6, 3)
        assert np.array_equal(np.asarray(TorchStates(tensor, CpuDevice(1)).of(picked)), tensor[picked].numpy())

    def test_what_was_handed_over_outlives_the_batch(self, encoder: TorchEncoder) -> None:
        encoded = encoder.encode(rows()[:3], 400)
        kept = [encoded.of([1]), encoded.of([2, 0])]
        expected = [np.array(each) for each in kept]
        encoded.close()
        del encoded
        torch.full((3, 200, TINY.width), 7.0)  # would lie where the states were
        assert all(np.array_equal(np.asarray(one), other) for one, other in zip(kept, expected, strict=True))

    def test_nothing_can_be_asked_of_them_once_closed(self, encoder: TorchEncoder) -> None:
        encoded = encoder.encode(rows()[:1], 400)
        encoded.close()
        with pytest.raises(RuntimeError, match="let go of"):
            encoded.of([0])
        with pytest.raises(RuntimeError, match="let go of"):
            _ = encoded.states


@pytest.mark.parametrize(
    ("device", "compute_type", "expected"),
    [
        ("cpu", "int8", torch.float32),
        ("cpu", "float16", torch.float32),
        ("cuda", "float32", torch.float32),
        ("cuda", "float16", torch.float16),
        ("cuda", "int8_float16", torch.float16),
        ("cuda", "int8", torch.float16),
        ("cuda", "bfloat16", torch.bfloat16),
        ("cuda", "int8_bfloat16", torch.bfloat16),
    ],
)
def test_it_computes_as_finely_as_the_decoder(device: str, compute_type: str, expected: torch.dtype) -> None:
    assert precision(device, compute_type) == expected


def test_states_are_handed_over_in_what_ctranslate2_takes(tiny: Path) -> None:
    """Which bfloat16 is not."""
    extractor = loaded(tiny).feature_extractor
    fine = TorchEncoder(tiny / WEIGHTS, extractor, CpuDevice(1), torch.bfloat16, a_meter())
    encoded = fine.encode([heard(NAMES[0])], FULL_FRAMES)
    assert isinstance(encoded, TorchStates)
    assert encoded.states.dtype == DataType.float32


def test_weights_of_something_else_are_named(tmp_path: Path, tiny: Path) -> None:
    data = (tiny / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(data.replace(b"encoder/conv1/weight", b"encoder/canv1/weight"))
    extractor = loaded(tiny).feature_extractor
    with pytest.raises(ValueError, match="lacks encoder/conv1/weight"):
        TorchEncoder(tmp_path / WEIGHTS, extractor, CpuDevice(1), torch.float32, a_meter())


def test_values_lie_in_a_row_from_layer_to_layer(encoder: TorchEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions leave them in columns, in which each layer would leave them too."""
    lying: list[bool] = []
    real = Layer.__call__

    def watched(layer: Layer, heard: torch.Tensor) -> torch.Tensor:
        lying.append(heard.is_contiguous())
        return real(layer, heard)

    monkeypatch.setattr(Layer, "__call__", watched)
    encoder.encode([heard(NAMES[0])], FULL_FRAMES)
    assert lying == [True] * TINY.encoder_layers
