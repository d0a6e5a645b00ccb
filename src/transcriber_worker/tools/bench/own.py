"""This worker's own way from a file to its words, as a contender: the real media pool, an engine, the transcript."""

import itertools
import threading
from collections.abc import Mapping
from pathlib import Path

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.job import MediaOptions, SpeechOptions
from transcriber_worker.inference.base import Listener, SpeechEngine
from transcriber_worker.media.base import MediaReader, MediaRequest
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.listen import listen, refuse_great_loss
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.pipeline.outcome import Findings, Stopwatch
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.tools.bench.contenders import Heard
from transcriber_worker.transcript.assemble import assemble

DECODE_CPU = "decode_cpu_s"
DETECT_CPU = "detect_cpu_s"
_COUNTED = (
    "transcriber_accelerator_",
    "transcriber_batch_",
    "transcriber_engine_",
    "transcriber_window_retries",
    "transcriber_holes",
)
_NOT_COUNTED = ("_created", "_bucket", "_queue_rows", "_cap_rows")


class OwnEngine:
    """A `Contender`. `engine` is started, and closed with it, as is `media`."""

    def __init__(
        self,
        engine: SpeechEngine,
        media: MediaReader,
        *,
        facts: Mapping[str, str],
        at_once: int,
        lookahead: Lookahead,
        transcript: TranscriptSettings,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._media = media
        self.facts = facts
        self.at_once = at_once
        self._lookahead = lookahead
        self._transcript = transcript
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._media_cpu_s = {DECODE_CPU: 0.0, DETECT_CPU: 0.0}

    def hear(self, path: Path, language: str | None) -> Heard:
        options = SpeechOptions(language=language, word_timestamps=True)
        cancel, watch = CancelToken(), Stopwatch(self._clock)
        with (
            self._media.open(MediaRequest(path, MediaOptions(), cancel)) as stream,
            self._engine.open(Listener(f"{next(self._numbers)}", options, cancel)) as hearing,
        ):
            parts = listen(
                stream,
                hearing,
                lookahead=self._lookahead,
                cancel=cancel,
                watch=watch,
                findings=Findings(),
                reached=lambda _: None,
                on_heard=lambda _: None,
            )
        report = stream.report
        refuse_great_loss(parts, report.speech_s)
        assembled = assemble(parts, report, options, self._transcript)
        with self._lock:
            self._media_cpu_s[DECODE_CPU] += report.decode_cpu_s
            self._media_cpu_s[DETECT_CPU] += report.detect_cpu_s
        return Heard(
            text=" ".join(segment.text for segment in assembled.segments),
            timed_words=sum(len(segment.words) for segment in assembled.segments),
            language=assembled.language.code,
            audio_s=report.end_s,
            tokens=sum(part.heard.tokens for part in parts),
        )

    def counters(self) -> Mapping[str, float]:
        found = {
            " ".join([sample.name, *sample.labels.values()]): float(sample.value)
            for family in self._metrics.registry.collect()
            for sample in family.samples
            if sample.name.startswith(_COUNTED) and not sample.name.endswith(_NOT_COUNTED)
        }
        with self._lock:
            return {**found, **self._media_cpu_s}

    def close(self) -> None:
        self._engine.close()
        self._media.close()
