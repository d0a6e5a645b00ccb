"""Features of a batch, and rows picked out of the encoder's states. Real features; no model."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.inference.batched.encoder import HostStates, mel_features
from transcriber_worker.inference.batched.rows import FULL_FRAMES

EXTRACTOR = FeatureExtractor()


def noise(samples: int) -> Pcm:
    return np.random.default_rng(samples).integers(-3000, 3000, samples, np.int16)


def test_rows_are_padded_to_the_frames_asked_for() -> None:
    features = mel_features(EXTRACTOR, [noise(SAMPLE_RATE_HZ), noise(2 * SAMPLE_RATE_HZ)], 600)
    assert features.shape == (2, 80, 600)
    assert features.dtype == np.float32
    assert features[0, :, 100:].any() == np.False_
    assert features[1, :, 100:200].all()


def test_a_row_has_the_features_it_has_alone() -> None:
    """Loudness is measured within a row: company must not change it."""
    loud, quiet = noise(SAMPLE_RATE_HZ), noise(2 * SAMPLE_RATE_HZ) // 64
    together = mel_features(EXTRACTOR, [loud, quiet], FULL_FRAMES)
    assert np.array_equal(together[1], mel_features(EXTRACTOR, [quiet], FULL_FRAMES)[0])


@pytest.mark.parametrize(("samples", "frames"), [(0, 400), (64_000, 400), (64_001, 402), (64_161, 402), (64_321, 404)])
def test_a_row_longer_than_asked_for_is_never_cut_off(samples: int, frames: int) -> None:
    """The encoder halves the frames: there is an even number of them."""
    assert mel_features(EXTRACTOR, [noise(samples)], 400).shape == (1, 80, frames)


def test_thirty_seconds_are_the_most() -> None:
    most = 30 * SAMPLE_RATE_HZ
    assert mel_features(EXTRACTOR, [noise(most)], 400).shape == (1, 80, FULL_FRAMES)
    with pytest.raises(ValueError, match=r"30\.0 s: the model hears 30 s"):
        mel_features(EXTRACTOR, [noise(100), noise(most + 1)], 400)


class TestHostStates:
    STATES = np.random.default_rng(1).normal(size=(4, 6, 3)).astype(np.float32)

    @pytest.mark.parametrize("rows", [[0], [3], [1, 2], [3, 0], [0, 1, 2, 3]])
    def test_rows_are_picked_in_the_order_asked_for(self, rows: list[int]) -> None:
        assert np.array_equal(np.asarray(HostStates(self.STATES).of(rows)), self.STATES[rows])

    def test_what_was_picked_outlives_the_batch(self) -> None:
        states = HostStates(self.STATES.copy())
        picked, one = states.of([2, 0]), states.of([1])
        states.close()
        del states
        np.full((4, 6, 3), 7, np.float32)  # would lie where the states were
        assert np.array_equal(np.asarray(picked), self.STATES[[2, 0]])
        assert np.array_equal(np.asarray(one), self.STATES[[1]])

    def test_nothing_can_be_asked_of_it_once_closed(self) -> None:
        states = HostStates(self.STATES)
        states.close()
        with pytest.raises(RuntimeError, match="let go of"):
            states.of([0])
        with pytest.raises(RuntimeError, match="let go of"):
            _ = states.states
