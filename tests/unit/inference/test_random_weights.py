"""Random weights: which channels mean what, and numbers that are the same every time."""

import numpy as np
import pytest

from transcriber_worker.inference.random_model.encoder_weights import oddities, waves
from transcriber_worker.inference.random_model.plan import STEPS, Channels
from transcriber_worker.inference.random_model.randomness import Randomness
from transcriber_worker.inference.random_model.shapes import HEAD_WIDTH, SHAPES, Shape

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@EVERY_SHAPE
def test_no_channel_has_two_meanings(shape: Shape) -> None:
    channels = Channels(shape.width)
    chosen = [*range(shape.width)[channels.time], channels.progress, channels.end, *range(shape.width)[channels.style]]
    free = range(shape.width)[channels.free]
    assert sorted([*chosen, *free]) == list(range(shape.width))
    assert len(free) == channels.count_free > STEPS / 4
    assert set(range(shape.width)[oddities(channels)]) < set(free)


@EVERY_SHAPE
def test_the_heads_that_count_and_sample_align_nothing(shape: Shape) -> None:
    assert shape.width == shape.heads * HEAD_WIDTH
    assert 2 * Channels(shape.width).waves <= HEAD_WIDTH
    for layer, head in shape.alignment_heads:
        assert 0 <= layer < shape.decoder_layers
        assert head < shape.heads
        assert layer < shape.decoder_layers - 1 or head >= 2


def test_places_are_the_more_alike_the_closer_they_are() -> None:
    found = waves(Channels(1280), np.linspace(0, 1, 21, dtype=np.float32))
    alike = found @ found.T
    assert np.array_equal(np.argmax(alike, axis=1), np.arange(21))
    assert np.all(alike[0, 1:] < alike[0, 0] / 2)


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, other, third = (Randomness(seed).filled(300, 400, scale=0.5) for seed in (7, 7, 8))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)


def test_more_numbers_than_were_drawn_are_still_random() -> None:
    found = Randomness(1).filled(5000, 1000, scale=0.5).astype(np.float32)
    assert (found.mean(), found.std()) == pytest.approx((0.0, 0.5), abs=0.005)
    assert not np.array_equal(found[0], found[4195])  # a row that is a pool further on, or nearly so
    assert len({row.tobytes() for row in found}) == len(found)
