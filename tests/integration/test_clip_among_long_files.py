"""A short clip never waits for long files: neither for a reader, nor for more than three batches of the engine."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.speech import PROJECT, a_listener
from tests.unit.inference.batched.scripted import ScriptedModel
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import HandBack
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.inference.batched.engine import BatchedEngine
from transcriber_worker.inference.batched.plan import LEAST_AHEAD, plan
from transcriber_worker.inference.batched.rows import Decoded, Row
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.listen import listen
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Findings, Stopwatch
from transcriber_worker.settings import EngineSettings, MediaSettings, ModelSettings
from transcriber_worker.transcript.assemble import HeardPart

RECORDINGS = PROJECT / "demo" / "recordings"
CLIP = RECORDINGS / "ferry-notice.wav"
CLIP_S = 10.0
"""Windows of the long files are longer."""
HOUR_S = 3600.0
TIMEOUT_S = 60.0
READERS = 2
MOST_BATCHES = 3


class Stepped(ScriptedModel):
    """Decodes a batch only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[float] = []
        """Seconds of the shortest row of each batch that has begun."""
        self.begun = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._free = False

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.batches.append(min(len(row.pcm) for row in rows) / SAMPLE_RATE_HZ)
        if not self._free:
            self.begun.release()
            assert self._go.acquire(timeout=TIMEOUT_S)
        return super().decode(rows)

    def step(self) -> None:
        """Let the batch in work end."""
        assert self.begun.acquire(timeout=TIMEOUT_S)
        self._go.release()

    def await_batch(self) -> None:
        """Wait until one is in work."""
        assert self.begun.acquire(timeout=TIMEOUT_S)
        self.begun.release()

    def let_all_go(self) -> None:
        self._free = True
        for _ in range(1000):
            self._go.release()


@dataclass
class File:
    """One file on its way through the readers and the engine, as in a job."""

    path: Path
    cancel: CancelToken
    submitted: threading.Event
    heard: threading.Event


class Station:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = Stepped()
        settings = EngineSettings(max_batch_windows=4, workers=1)
        chosen = plan(settings, cuda=False, cores=2)
        self.lookahead = Lookahead(LEAST_AHEAD, chosen.windows_ahead, chosen.windows_shared)
        self.media = MediaPool(
            MediaSettings(processes=READERS), WindowLimits(chosen.speech_s, chosen.span_s), 2, SystemClock()
        )
        self.engine = BatchedEngine(
            ModelSettings(),
            settings,
            lambda: ModelFiles("scripted", Path("nowhere"), "0" * 64, translates=True),
            cores=2,
            memory_bytes=8 << 30,
            clock=SystemClock(),
            metrics=Metrics(CollectorRegistry()),
            load=lambda *_: self.model,
        )
        self.engine.start()
        self.files: list[File] = []
        self._threads = ThreadPoolExecutor(READERS + 3)

    def begin(self, recording: Path, seconds: float) -> File:
        """Read and hear `recording`, repeated until it is that long."""
        number = len(self.files)
        path = self.folder / f"{number}{recording.suffix}"
        repeated(recording, path, seconds)
        file = File(path, CancelToken(), threading.Event(), threading.Event())
        self.files.append(file)
        self._threads.submit(self._run, file, f"file-{number}")
        return file

    def _run(self, file: File, key: str) -> list[HeardPart]:
        def reached(milestone: Milestone) -> None:
            if milestone is Milestone.WINDOW_SUBMITTED:
                file.submitted.set()

        with (
            self.media.open(MediaRequest(file.path, MediaOptions(), file.cancel)) as stream,
            self.engine.open(a_listener(key, cancel=file.cancel)) as hearing,
        ):
            parts = listen(
                stream,
                hearing,
                lookahead=self.lookahead,
                cancel=file.cancel,
                watch=Stopwatch(SystemClock()),
                findings=Findings(),
                reached=reached,
                on_heard=lambda part: None,
            )
            file.heard.set()
            return parts

    def close(self) -> None:
        for file in self.files:
            file.cancel.cancel(HandBack("the test is over"))
        self.model.let_all_go()
        self.engine.close()
        self.media.close()
        self._threads.shutdown()


def repeated(recording: Path, path: Path, seconds: float) -> None:
    """Frames of mp3 stand for themselves, so repeated files are one long file."""
    if seconds < HOUR_S:
        shutil.copy(recording, path)
    else:
        path.write_bytes(recording.read_bytes() * round(seconds / 23.56))


@contextmanager
def a_station(folder: Path) -> Iterator[Station]:
    station = Station(folder)
    try:
        yield station
    finally:
        station.close()


@pytest.mark.timeout(300)
def test_a_clip_is_read_and_heard_though_long_files_take_every_reader(tmp_path: Path) -> None:
    with a_station(tmp_path) as station:
        long = [station.begin(RECORDINGS / "good-bread.mp3", HOUR_S) for _ in range(READERS + 1)]
        for file in long[:READERS]:
            assert file.submitted.wait(TIMEOUT_S)
        for _ in range(3):  # the long files have their languages and more to do than fits
            station.model.step()
        clip = station.begin(CLIP, CLIP_S)
        assert clip.submitted.wait(TIMEOUT_S), "the clip was not even read while the engine was busy"
        before = len(station.model.batches)
        while min(station.model.batches[before:], default=HOUR_S) > CLIP_S:
            assert len(station.model.batches) < before + MOST_BATCHES
            station.model.step()
            station.model.await_batch()
        station.model.step()
        assert clip.heard.wait(TIMEOUT_S)
        assert not long[0].heard.is_set()
