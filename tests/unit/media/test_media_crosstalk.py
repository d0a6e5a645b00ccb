"""What one channel only overhears from another is not its speech."""

import numpy as np
import pytest

from transcriber_worker.media.crosstalk import CrosstalkGate, Floats

LOUD = 0.01
"""Mean square of clear speech, about -20 dBFS."""


def gated(probabilities: list[list[float]], levels: list[list[float]], piece: int = 1000) -> Floats:
    """`levels`: dB relative to LOUD, per channel and chunk."""
    gate = CrosstalkGate(len(probabilities), 0.5)
    wanted = np.array(probabilities, np.float32)
    powers = (LOUD * 10.0 ** (np.array(levels) / 10)).astype(np.float32)
    parts = [gate.feed(wanted[:, i : i + piece], powers[:, i : i + piece]) for i in range(0, wanted.shape[1], piece)]
    return np.concatenate((*parts, gate.finish()), axis=1)


def test_a_leak_is_dropped() -> None:
    out = gated([[0.9] * 100, [0.8] * 100], [[0.0] * 100, [-20.0] * 100])
    assert (out[0] == np.float32(0.9)).all()
    assert (out[1] == 0).all()


def test_two_people_who_talk_at_once_are_both_kept() -> None:
    out = gated([[0.9] * 100, [0.8] * 100], [[0.0] * 100, [-10.0] * 100])
    assert (out[1] == np.float32(0.8)).all()


def test_a_faint_speaker_is_kept_while_the_other_channel_is_loud_without_speech() -> None:
    """Music, noise or a ringing tone is no reason to drop words."""
    out = gated([[0.1] * 100, [0.8] * 100], [[0.0] * 100, [-30.0] * 100])
    assert (out[1] == np.float32(0.8)).all()


def test_taking_turns_each_keeps_its_own() -> None:
    talks, leaks = [0.9] * 60 + [0.7] * 60, [0.7] * 60 + [0.9] * 60
    out = gated([talks, leaks], [[0.0] * 60 + [-25.0] * 60, [-25.0] * 60 + [0.0] * 60])
    assert (out[0, :50] == np.float32(0.9)).all()
    assert (out[0, 70:] == 0).all()
    assert (out[1, :50] == 0).all()
    assert (out[1, 70:] == np.float32(0.9)).all()


def test_digital_silence_everywhere_is_left_alone() -> None:
    out = gated([[0.0] * 30, [0.0] * 30], [[-300.0] * 30, [-300.0] * 30])
    assert out.shape == (2, 30)


@pytest.mark.parametrize("piece", [1, 3, 7, 8, 50])
def test_pieces_make_no_difference(piece: int) -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.random((3, 90)).tolist()
    levels = rng.uniform(-40, 0, (3, 90)).tolist()
    assert np.array_equal(gated(probabilities, levels, piece), gated(probabilities, levels))
