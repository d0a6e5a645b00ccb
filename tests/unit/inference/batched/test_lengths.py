"""How long rows are made for the encoder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.inference.batched.lengths import MARGIN_FRAMES, MIN_FRAMES, STEP_FRAMES, frames_for, said_again
from transcriber_worker.inference.batched.rows import FULL_FRAMES

FRAME_SAMPLES = 160
samples = st.integers(0, 30 * SAMPLE_RATE_HZ)


@settings(deadline=None)
@given(samples)
def test_fully_padded_every_row_has_the_length_that_the_model_was_trained_on(count: int) -> None:
    assert frames_for(count, "full") == FULL_FRAMES


@settings(deadline=None)
@given(samples)
def test_adaptively_padded_a_row_has_silence_behind_it_and_one_of_few_lengths(count: int) -> None:
    frames = frames_for(count, "adaptive")
    assert MIN_FRAMES <= frames <= FULL_FRAMES
    assert frames % STEP_FRAMES == 0
    assert frames == FULL_FRAMES or frames * FRAME_SAMPLES >= count + MARGIN_FRAMES * FRAME_SAMPLES
    assert frames == MIN_FRAMES or frames * FRAME_SAMPLES < count + (MARGIN_FRAMES + STEP_FRAMES + 1) * FRAME_SAMPLES


@settings(deadline=None)
@given(samples, samples)
def test_longer_audio_never_has_less(one: int, other: int) -> None:
    assert frames_for(min(one, other), "adaptive") <= frames_for(max(one, other), "adaptive")


@pytest.mark.parametrize("seconds", [28.9, 29.5, 30.0])
def test_audio_of_about_thirty_seconds_fits(seconds: float) -> None:
    assert frames_for(round(seconds * SAMPLE_RATE_HZ), "adaptive") == FULL_FRAMES


def test_the_bounds_are_lengths_that_an_encoder_takes() -> None:
    """It halves them."""
    assert MIN_FRAMES % STEP_FRAMES == FULL_FRAMES % STEP_FRAMES == STEP_FRAMES % 2 == 0


@pytest.mark.parametrize(
    "text",
    [
        "It is for us the living. It is for us the living.",
        "of the ancient Roman character of the ancient Roman character",
        "Not only by chauffeur, not only by chauffeur. Not only by chauffeur.",
        "We are bound to tell you simpler simpler",
        "今日は今日は",
    ],
)
def test_a_clip_that_was_said_over_again_is_found(text: str) -> None:
    """The first three are what a model wrote of clips of two seconds."""
    assert said_again(text)


@pytest.mark.parametrize(
    "text", ["", "Rather.", "It is for us the living.", "He said it, and he said it well.", "Very, very good."]
)
def test_words_that_come_back_later_on_are_not(text: str) -> None:
    assert not said_again(text)
