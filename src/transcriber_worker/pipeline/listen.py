"""From a media stream to what was heard: windows in, words out, a bounded number on the way."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Event

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import Hearing
from transcriber_worker.media.base import MediaStream
from transcriber_worker.observability.labels import Stage
from transcriber_worker.pipeline.lookahead import Lookahead, Share
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Findings, Stopwatch
from transcriber_worker.transcript.assemble import HeardPart

MAX_LOST_SHARE = 0.02
"""A transcript with a marked gap is better than none up to this part of the speech; beyond it the job fails."""


def listen(
    stream: MediaStream,
    hearing: Hearing,
    *,
    lookahead: Lookahead,
    cancel: CancelToken,
    watch: Stopwatch,
    findings: Findings,
    reached: Callable[[Milestone], None],
    on_heard: Callable[[HeardPart], None],
) -> list[HeardPart]:
    """Hear a whole file. No more windows wait for the engine than `lookahead` allows, so that memory stays bounded
    whatever the file's length. Raises what the stream, the engine or the cancel token raise."""
    parts: list[HeardPart] = []
    waiting: deque[tuple[Window, Future[HeardWindow]]] = deque()

    def hear_next(share: Share) -> None:
        window, future = waiting.popleft()
        share.take(len(waiting))
        findings.windows_waiting = len(waiting)
        with watch.stage(Stage.TRANSCRIBE):
            heard = result_of(future, cancel)
        part = HeardPart.of(window, heard)
        parts.append(part)
        on_heard(part)
        reached(Milestone.WINDOW_HEARD)

    windows = iter(stream.windows())
    with lookahead.share() as share:
        while True:
            with watch.stage(Stage.READ):
                window = next(windows, None)
            if window is None:
                hearing.finish()
                break
            waiting.append((window, hearing.submit(window)))
            findings.windows_waiting = len(waiting)
            reached(Milestone.WINDOW_SUBMITTED)
            while not share.take(len(waiting)):
                hear_next(share)
        while waiting:
            hear_next(share)
    return parts


def refuse_great_loss(parts: Iterable[HeardPart], speech_s: float) -> None:
    """Raise `RetryJob` where more of the speech could not be transcribed than a transcript may lack."""
    lost_s = sum(span.duration_s for part in parts for span in part.heard.lost)
    if lost_s > MAX_LOST_SHARE * speech_s:
        raise RetryJob(f"{lost_s:.1f} s of {speech_s:.1f} s of speech could not be transcribed")


def result_of(future: Future[HeardWindow], cancel: CancelToken) -> HeardWindow:
    """The future's result, or at once the cancel token's error: a job that is stopped does not wait for the engine."""
    over = Event()
    future.add_done_callback(lambda _: over.set())
    cancel.on_cancel(over.set)
    over.wait()
    cancel.raise_if_cancelled()
    return future.result()
