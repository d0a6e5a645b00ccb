"""One file from its header to its last window, a step at a time. Runs in the child only."""

import time
from collections.abc import Iterator

import numpy as np

from transcriber_worker.domain.audio import (
    SAMPLE_RATE_HZ,
    MediaReport,
    Notice,
    Pcm,
    Span,
    TranscriptWarning,
    Window,
)
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media import formats
from transcriber_worker.media.channel import ChannelWindows
from transcriber_worker.media.crosstalk import CrosstalkGate
from transcriber_worker.media.decoder import DecodeOptions, Decoder, too_long
from transcriber_worker.media.opening import OpenedMedia
from transcriber_worker.media.protocol import MediaJob, Progress
from transcriber_worker.media.vad import Floats, Heard, SpeechDetector, SpeechModel

STEP_S = 600.0
"""A stretch without a window after which progress is told, so that silence neither holds the processor nor looks
stuck."""
_MISSING_S = 1.0
_MISSING_SHARE = 0.01


class Reading:
    """Steps through a file; `report` tells what was found once the steps are exhausted."""

    def __init__(self, media: OpenedMedia, job: MediaJob, model: SpeechModel) -> None:
        self._media = media
        self._job = job
        self._model = model
        options = DecodeOptions(job.split, job.clip, job.speed, job.max_duration_s)
        self._decoder = Decoder(media, options)
        self._channels: list[ChannelWindows] = []
        self._gate: CrosstalkGate | None = None
        self._decode_cpu_s = 0.0
        self._detect_cpu_s = 0.0
        length_s = _length_asked_s(media, job.clip)
        if length_s is not None and length_s > job.max_duration_s:
            raise too_long(job.max_duration_s)

    def steps(self) -> Iterator[Window | Progress]:
        """Windows in the order in which they are complete. Raises `RejectJob` where there is no audio to decode."""
        told = 0
        samples = 0
        for block in self._decoded():
            samples += block.shape[1]
            windows = self._detect(block)
            yield from windows
            if windows:
                told = samples
            elif samples - told > STEP_S * SAMPLE_RATE_HZ:
                told = samples
                yield Progress(self._decoder.end_s)
        if not self._channels:
            raise self._nothing()
        yield from self._finish()

    @property
    def report(self) -> MediaReport:
        decoder = self._decoder
        speech_s = sum(channel.speech_samples for channel in self._channels) / SAMPLE_RATE_HZ * self._job.speed
        return MediaReport(
            decoded_s=decoder.decoded_s,
            end_s=decoder.end_s,
            speech_s=speech_s,
            damaged_packets=decoder.damaged_packets,
            gaps=tuple(decoder.gaps),
            warnings=tuple(self._warnings(speech_s)),
            decode_cpu_s=self._decode_cpu_s,
            detect_cpu_s=self._detect_cpu_s,
        )

    def _decoded(self) -> Iterator[Pcm]:
        blocks = self._decoder.blocks()
        while True:
            started = time.process_time()
            block = next(blocks, None)
            self._decode_cpu_s += time.process_time() - started
            if block is None:
                return
            yield block

    def _detect(self, block: Pcm) -> list[Window]:
        started = time.process_time()
        if not self._channels:
            self._begin(block.shape[0])
        heard = [channel.listen(pcm) for channel, pcm in zip(self._channels, block, strict=True)]
        gated = self._gate.feed(*_stacked(heard)) if self._gate is not None else heard[0].probabilities[None]
        windows = [
            window for channel, mine in zip(self._channels, gated, strict=True) for window in channel.advance(mine)
        ]
        self._detect_cpu_s += time.process_time() - started
        return _in_order(windows)

    def _begin(self, count: int) -> None:
        for number in range(count):
            detector = SpeechDetector(self._model)
            channel = number if self._job.split else None
            self._channels.append(ChannelWindows(channel, detector, self._job, self._decoder.start_sample))
        if count > 1:
            self._gate = CrosstalkGate(count, self._job.thresholds.threshold)

    def _finish(self) -> list[Window]:
        started = time.process_time()
        heard = [channel.listen_to_end() for channel in self._channels]
        if self._gate is None:
            gated = heard[0].probabilities[None]
        else:
            gated = np.concatenate((self._gate.feed(*_stacked(heard)), self._gate.finish()), axis=1)
        windows = [
            window for channel, mine in zip(self._channels, gated, strict=True) for window in channel.finish(mine)
        ]
        self._detect_cpu_s += time.process_time() - started
        return _in_order(windows)

    def _nothing(self) -> RejectJob:
        if self._decoder.damaged_packets:
            return RejectJob(
                Reason.MEDIA_UNREADABLE,
                "Nothing of the file could be decoded: check that it plays, and upload it again.",
            )
        return RejectJob(
            Reason.MEDIA_NO_AUDIO,
            "The file holds no audio: not one sample was decoded. Check the recording, and the clip if one was asked.",
        )

    def _warnings(self, speech_s: float) -> Iterator[TranscriptWarning]:
        decoder = self._decoder
        if decoder.damaged_packets:
            lost_s = sum(gap.duration_s for gap in decoder.gaps)
            yield TranscriptWarning(
                Notice.DAMAGED,
                f"{decoder.damaged_packets} packets of the file could not be decoded; {lost_s:.1f} s are missing.",
                decoder.gaps[0] if len(decoder.gaps) == 1 else None,
            )
        stated_s = self._media.stated_s
        if stated_s is not None and (self._job.clip is None or self._job.clip.end_s > decoder.end_s):
            wanted_s = stated_s if self._job.clip is None else min(stated_s, self._job.clip.end_s)
            missing_s = wanted_s - decoder.end_s
            if missing_s > max(_MISSING_S, _MISSING_SHARE * wanted_s):
                yield TranscriptWarning(
                    Notice.TRUNCATED,
                    f"The file says it lasts {stated_s:.1f} s, but its audio ends at {decoder.end_s:.1f} s.",
                    Span(decoder.end_s, wanted_s),
                )
        if speech_s == 0:
            yield TranscriptWarning(Notice.NO_SPEECH, "No speech was found in the audio.")


def _length_asked_s(media: OpenedMedia, clip: Span | None) -> float | None:
    """How much audio is asked for, where the length of the file is more than a guess."""
    length_s = media.info.duration_s
    if length_s is None or (media.stated_s is None and media.info.container not in formats.MEASURED_DURATION):
        return None
    end_s = length_s if media.stated_s is None else min(media.stated_s, length_s)
    return end_s if clip is None else min(end_s, clip.end_s) - clip.start_s


def _stacked(heard: list[Heard]) -> tuple[Floats, Floats]:
    return np.stack([each.probabilities for each in heard]), np.stack([each.powers for each in heard])


def _in_order(windows: list[Window]) -> list[Window]:
    return sorted(windows, key=lambda window: window.pcm_start_s)
