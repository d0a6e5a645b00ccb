"""`demo`: the main job on real recordings, with a worker of its own, from nothing to transcripts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.domain.job import Format, Job
from transcriber_worker.pipeline.records import JobRecord
from transcriber_worker.settings import ENV_PREFIX, BrokerKind, BrokerSettings
from transcriber_worker.storage.base import ObjectStore
from transcriber_worker.transcript.document import TranscriptDocument

AUDIO_SUFFIXES = frozenset({".wav", ".mp3", ".opus", ".ogg", ".m4a", ".flac", ".webm", ".mp4", ".aac"})
_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One recording's line of the table; seconds."""

    name: str
    audio_s: float
    wall_s: float
    timings: Mapping[str, float]
    warnings: tuple[str, ...]
    first_line: str


def environment(folder: Path) -> dict[str, str]:
    """The settings of a demo that keeps below one folder whatever it is not told to keep elsewhere, as environment
    variables: those not set yet."""
    settings = {
        "BROKER__DIRECTORY__PATH": str(folder / "spool"),
        "STORAGE__OUTPUT": str(folder / "transcripts"),
        "WORKER__SCRATCH_DIR": str(folder / "scratch"),
        "OBSERVABILITY__HTTP_PORT": "0",
    }
    if os.environ.get(ENV_PREFIX + "BROKER__KIND", BrokerKind.DIRECTORY) != BrokerKind.DIRECTORY:
        settings["STORAGE__UPLOADS"] = str(folder / "uploads")  # only a spool has a place for recordings
    return {ENV_PREFIX + name: value for name, value in settings.items() if ENV_PREFIX + name not in os.environ}


def results_place(broker: BrokerSettings) -> str:
    """Where the result events go, for people."""
    match broker.kind:
        case BrokerKind.DIRECTORY:
            return f"{broker.directory.path}/results"
        case BrokerKind.KAFKA:
            return f"topic {broker.kafka.results_topic or broker.kafka.topic + '-results'}"
        case BrokerKind.OCI_QUEUE:
            return f"queue {broker.oci_queue.results_queue_id or '(none)'}"


@contextmanager
def running_worker(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker with this process's environment, its log in the folder; drained when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "transcriber_worker", "run"]
        worker = subprocess.Popen(command, stderr=log)
        try:
            yield worker
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def recordings_in(folder: Path) -> list[Path]:
    """The audio files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)


def row(store: ObjectStore, job: Job, record: JobRecord) -> Row:
    """What became of one recording, from its record and its committed transcript."""
    document = TranscriptDocument.from_bytes(store.read(job.output_for(Format.JSON))[0])
    return Row(
        name=job.name,
        audio_s=document.duration.audio_s,
        wall_s=(record.finished_at or 0.0) - (record.started_at or 0.0),
        timings=record.timings,
        warnings=tuple(dict.fromkeys(warning.code for warning in document.warnings)),
        first_line=" ".join(document.text.split("\n")[:2]),
    )
