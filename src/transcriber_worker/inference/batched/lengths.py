"""How long a row is made for the encoder. Pure."""

import math
from typing import Literal

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.inference.batched.rows import FRAME_S, FULL_FRAMES
from transcriber_worker.transcript.wording import tokens

MARGIN_FRAMES = 100
"""Silence behind the last word: cut off in the middle of speech the model says the same thing over and over."""
STEP_FRAMES = 100
"""So that rows of about a length have the same, and an accelerator sees few shapes."""
MIN_FRAMES = 800
"""Measured on base with clips of 0.5 to 5 s: with 400 one in six was said twice or in a loop, with 600 one in twelve,
from 800 on one in thirty-six."""

_FRAME_SAMPLES = round(SAMPLE_RATE_HZ * FRAME_S)


def frames_for(samples: int, padding: Literal["full", "adaptive"]) -> int:
    """Frames of 10 ms to pad `samples` of 16 kHz audio to: always the 30 s that the model was trained on, or,
    adaptively, as many as the audio needs."""
    if padding == "full":
        return FULL_FRAMES
    needed = math.ceil(samples / _FRAME_SAMPLES) + MARGIN_FRAMES
    stepped = math.ceil(needed / STEP_FRAMES) * STEP_FRAMES
    return min(max(stepped, MIN_FRAMES), FULL_FRAMES)


def said_again(text: str) -> bool:
    """Whether `text` ends with the same words twice. With little silence behind it a model says a short clip over
    again, and no figure of the row shows it; what was really said twice comes back so at full length."""
    keys = [token.key for token in tokens(text)]
    return any(keys[-length:] == keys[-2 * length : -length] for length in range(1, len(keys) // 2 + 1))
