"""Builders of the values that tests of many rooms need: each fills in what a test does not care about."""

import json
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from transcriber_worker.brokers.base import Message
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.request import RequestRules
from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.settings import Settings

NOW = ManualClock().now()
"""Where every `ManualClock` begins, Unix seconds."""
SAMPLE_RATE_HZ = 16_000


def uri(text: str) -> ObjectUri:
    """An `ObjectUri` from its text."""
    return ObjectUri.parse(text)


def make_rules(
    sources: tuple[str, ...] = ("file:///data/audio/",), outputs: tuple[str, ...] = ("file:///data/transcripts/",)
) -> RequestRules:
    """What publishers may name; the first output is the default one."""
    return RequestRules(tuple(map(uri, sources)), tuple(map(uri, outputs)))


def make_request(**fields: Any) -> dict[str, Any]:
    """A request's JSON object: valid by `make_rules()`, with `fields` set."""
    return {"version": 1, "source": "file:///data/audio/call.wav", **fields}


def make_message(
    body: bytes | Mapping[str, Any] | None = None,
    *,
    id_: str = "message-1",
    published_at: float | None = NOW,
    headers: Mapping[str, str] | None = None,
) -> Message:
    """A message off a broker. `body`: bytes, or an object to be written as JSON; default: `make_request()`."""
    if not isinstance(body, bytes):
        body = json.dumps(make_request() if body is None else body).encode()
    return Message(id_, body, published_at, f"test:{id_}", headers or {})


def make_job(folder: Path | None = None, name: str = "call.wav", **fields: Any) -> Job:
    """A job that reads `<folder>/audio/<name>` and writes below `<folder>/transcripts/`; `fields` as in `Job`."""
    root = folder if folder is not None else Path("/data")
    defaults: dict[str, Any] = {
        "request_id": "",
        "source": ObjectUri.from_path(root / "audio" / name),
        "name": name,
        "output": ObjectUri.from_path(root / "transcripts", prefix=True),
        "requested_at": NOW,
    }
    return Job(**{**defaults, **fields})


def make_record(job: Job | None = None, **fields: Any) -> JobRecord:
    """The record of a queued job; `fields` as in `JobRecord`."""
    job = job or make_job()
    defaults: dict[str, Any] = {
        "job_id": job.id,
        "request_id": job.request_id,
        "name": job.name,
        "state": JobState.QUEUED,
        "requested_at": job.requested_at,
    }
    return JobRecord(**{**defaults, **fields})


def make_settings(folder: Path, **sections: Mapping[str, Any]) -> Settings:
    """Settings that keep everything below `folder` and use the fake model: spool in spool/, transcripts in
    transcripts/, scratch in scratch/, no HTTP port. `sections`: keys that differ, `worker={"max_attempts": 2}`."""
    return Settings.model_validate(settings_fields(folder, **sections))


def settings_fields(folder: Path, **sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `make_settings` reads, ready to be written as a YAML file."""
    fields: dict[str, dict[str, Any]] = {
        "broker": {"directory": {"path": str(folder / "spool"), "settle_s": 0.0}},
        "storage": {"output": str(folder / "transcripts")},
        "model": {"name": "fake"},
        "worker": {"scratch_dir": str(folder / "scratch"), "exit_when_idle_s": 0.5},
        "observability": {"http_port": 0},
    }
    for name, changes in sections.items():
        section = fields.setdefault(name, {})
        for key, value in changes.items():
            nested = isinstance(value, Mapping) and isinstance(section.get(key), dict)
            section[key] = {**section[key], **value} if nested else value
    return fields


def write_wav(path: Path, seconds: float = 2.0, *, frequency_hz: float = 220.0, channels: int = 1) -> Path:
    """A 16 kHz, 16-bit WAV file of a plain tone, which no model hears speech in; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = (0.3 * 32_767 * np.sin(2 * np.pi * frequency_hz * times_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.repeat(tone, channels).tobytes())
    return path
