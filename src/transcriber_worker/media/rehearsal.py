"""A second of silence, read once before the real file. Runs in the child only.

After the system call filter is in place no module can be imported and no library can open its files any more, so
everything that a reading needs is used once before. It also makes the first window come sooner.
"""

import io
import logging
import struct

from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.opening import open_media
from transcriber_worker.media.protocol import MediaJob, encode
from transcriber_worker.media.reading import Reading
from transcriber_worker.media.speech_spans import SpeechThresholds
from transcriber_worker.media.vad import SpeechModel


def rehearse() -> SpeechModel:
    """Load the speech model and read a silent file with it."""
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    model = SpeechModel()
    job = MediaJob(
        path="",
        split=True,
        clip=None,
        speed=1.5,
        limits=WindowLimits(30.0, 60.0),
        max_duration_s=60.0,
        thresholds=SpeechThresholds(),
    )
    reading = Reading(open_media(io.BytesIO(silent_wav())), job, model)
    for _ in reading.steps():
        pass
    encode(reading.report)
    return model


def silent_wav() -> bytes:
    """One second, two channels, 48 kHz, 16 bit."""
    data = bytes(48_000 * 2 * 2)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        2,
        48_000,
        192_000,
        4,
        16,
        b"data",
        len(data),
    )
    return head + data
