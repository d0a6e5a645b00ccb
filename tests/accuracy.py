"""How well engines hear recordings whose text is known: windows from the real media child, words against the text."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry

from tests.speech import a_listener
from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import MediaOptions, SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.batched.engine import BatchedEngine
from transcriber_worker.inference.batched.plan import plan
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.sequential import SequentialEngine
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EngineKind, EngineSettings, MediaSettings, ModelSettings
from transcriber_worker.tools.bench.word_errors import Errors, missing_run, word_errors

CORES = psutil.cpu_count() or 1
TIMEOUT_S = 3600.0
SEQUENTIAL = EngineSettings(kind=EngineKind.SEQUENTIAL, concurrency=1)


def batched(**options: object) -> EngineSettings:
    return EngineSettings.model_validate({"kind": EngineKind.BATCHED, **options})


@contextmanager
def running(settings: EngineSettings, files: ModelFiles, beam_size: int = 5) -> Iterator[SpeechEngine]:
    """The engine of these settings, started, on the CPU."""
    model = ModelSettings(device="cpu", beam_size=beam_size)
    engine: SpeechEngine
    if settings.kind is EngineKind.SEQUENTIAL:
        engine = SequentialEngine(model, settings, lambda: files, cores=CORES)
    else:
        engine = BatchedEngine(
            model,
            settings,
            lambda: files,
            cores=CORES,
            memory_bytes=psutil.virtual_memory().total,
            clock=SystemClock(),
            metrics=Metrics(CollectorRegistry()),
        )
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def windows_of(recordings: Sequence[Path], settings: EngineSettings) -> list[list[Window]]:
    """Each recording's windows, cut for the engine of these settings."""
    limits = plan(settings, cuda=False, cores=CORES)
    media = MediaPool(MediaSettings(), WindowLimits(limits.speech_s, limits.span_s), CORES, SystemClock())
    try:
        return [_read(media, recording) for recording in recordings]
    finally:
        media.close()


def _read(media: MediaPool, recording: Path) -> list[Window]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(recording, folder))
        with media.open(MediaRequest(path, MediaOptions(), CancelToken())) as stream:
            return list(stream.windows())


def heard(
    engine: SpeechEngine,
    windows: Sequence[Window],
    options: SpeechOptions = SpeechOptions(),  # noqa: B008 - a value
) -> list[HeardWindow]:
    """What the engine hears in a file of these windows."""
    with engine.open(a_listener(options=options)) as hearing:
        futures = [hearing.submit(window) for window in windows]
        hearing.finish()
        return [future.result(TIMEOUT_S) for future in futures]


def text_of(parts: Sequence[HeardWindow]) -> str:
    return "".join(segment.text for part in parts for segment in part.segments)


def references(folder: Path) -> dict[str, str]:
    """The texts of a folder's recordings, from its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = manifest["recordings"] if isinstance(manifest, dict) else manifest
    return {entry["file"]: entry["text"] or "" for entry in entries}


@dataclass(slots=True)
class Score:
    """Errors over several recordings, and the longest run of words left out of each."""

    errors: Errors = field(default_factory=lambda: Errors(0, 0))
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    holes_found: int = 0
    holes_rescued: int = 0

    def add(self, name: str, reference: str, parts: Sequence[HeardWindow]) -> Errors:
        """Count a recording; its own errors."""
        text = text_of(parts)
        errors = word_errors(reference, text)
        self.errors += errors
        self.missing[name] = missing_run(reference, text)
        self.holes_found += sum(part.holes_found for part in parts)
        self.holes_rescued += sum(part.holes_rescued for part in parts)
        return errors
