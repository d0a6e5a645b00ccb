"""An engine without a model, for tests of an installation and of the worker: the same queueing, made-up words."""

import hashlib
import math
import threading

from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.transcript import HeardWindow, Segment, Word
from transcriber_worker.inference.base import EngineInfo, Hearing, Listener
from transcriber_worker.inference.dispatcher import Check, Dispatcher
from transcriber_worker.inference.options import check_languages
from transcriber_worker.settings import EngineSettings

_LANGUAGES = ("de", "en", "es", "fr", "it", "pt")
_WORD_S = 1.0
_STEP_S = 0.1
"""How soon a paced window notices that it is not wanted any more."""


class FakeEngine:
    """Says one word per second of speech: `w<window>-<listener key>-<n>`, so that an output which mixes two attempts
    gives itself away.

    `pace`: seconds it takes per second of audio, waited for by the clock.
    """

    def __init__(self, engine: EngineSettings, clock: Clock, pace: float = 0.0) -> None:
        self._workers = engine.concurrency
        self._dispatcher = Dispatcher(self._workers)
        self._clock = clock
        self._pace = pace
        self._closing = threading.Event()

    def start(self) -> EngineInfo:
        self._dispatcher.start()
        return EngineInfo(
            engine="fake",
            model="fake",
            model_sha256=hashlib.sha256(b"fake").hexdigest(),
            device="cpu",
            compute_type="none",
            beam_size=1,
            encoder="none",
            workers=self._workers,
            max_batch_windows=1,
        )

    def open(self, listener: Listener) -> Hearing:
        """Begin a file; raises `RejectJob` for languages it does not pretend to know."""
        check_languages(listener.options, _LANGUAGES)

        def hear(window: Window, check: Check) -> HeardWindow:
            end = self._clock.monotonic() + self._pace * window.duration_s
            while (left_s := end - self._clock.monotonic()) > 0:
                self._clock.wait(self._closing, min(left_s, _STEP_S))
                check()
            return _made_up(window, listener)

        return self._dispatcher.open(listener, hear)

    def close(self) -> None:
        """Stop; what is queued fails with `HandBack`."""
        self._closing.set()
        self._dispatcher.close()


def _made_up(window: Window, listener: Listener) -> HeardWindow:
    options = listener.options
    language = options.known_language or next(iter(options.languages), "en")
    segments = []
    n = 0
    for span in window.speech:
        words = []
        for start_s in _seconds(span):
            end_s = min(start_s + _WORD_S, span.end_s)
            if window.core.start_s <= (start_s + end_s) / 2 < window.core.end_s:
                words.append(Word(start_s, end_s, f" w{window.index}-{listener.key}-{n}", 1.0))
                n += 1
        if words:
            text = "".join(word.text for word in words)
            segments.append(
                Segment(
                    words[0].start_s,
                    words[-1].end_s,
                    text,
                    channel=window.channel,
                    words=tuple(words) if options.word_timestamps else (),
                    language=language if options.mixed else None,
                )
            )
    return HeardWindow(tuple(segments), language, 1.0, n)


def _seconds(span: Span) -> list[float]:
    """When each second of the span begins."""
    return [span.start_s + second * _WORD_S for second in range(math.ceil(span.duration_s / _WORD_S))]
