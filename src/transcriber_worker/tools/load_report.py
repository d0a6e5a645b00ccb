"""What a load test has found out: figures of one run, made from the records and transcripts of its jobs."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter, ValidationError

from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.transcript.document import TranscriptDocument

NO_TRANSCRIPT = "no_transcript"
PERCENTILES = (50, 90, 95, 99)
VERSION = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What a committed transcript tells."""

    audio_s: float
    worker: str
    engine: str

    @classmethod
    def of(cls, document: TranscriptDocument) -> Self:
        engine = document.engine
        return cls(
            document.duration.audio_s, document.attempt.worker, f"{engine.engine} {engine.model} {engine.compute_type}"
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one job. `heard`: None where there is no transcript."""

    record: JobRecord
    heard: Heard | None


@dataclass(frozen=True, slots=True)
class Report:
    """Of one run. Seconds; spreads are percentiles by name."""

    version: int
    run: str
    broker: str
    engine: str
    rate_per_s: float | None
    jobs: int
    done: int
    failed: dict[str, int]
    unfinished: int
    repeats: dict[str, int]
    jobs_by_worker: dict[str, int]
    audio_s: float
    wall_s: float
    audio_s_per_s: float
    files_per_min: float
    mean_in_flight: float
    latency_s: dict[str, float]
    queue_wait_s: dict[str, float]
    work_s: dict[str, float]
    stages_s: dict[str, float]
    """Medians."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what was written before; raises ValueError for anything else."""
        try:
            found = TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise ValueError(f"no report of a load test: {error.error_count()} problems") from None
        if found.version != VERSION:
            raise ValueError(f"a report of version {found.version}, not {VERSION}")
        return found

    def figures(self) -> dict[str, float]:
        """What can be compared, by name, in the order of a table."""
        spreads = {"latency": self.latency_s, "queue wait": self.queue_wait_s, "work": self.work_s}
        return {
            "audio seconds per second": self.audio_s_per_s,
            "files per minute": self.files_per_min,
            "jobs in flight, mean": self.mean_in_flight,
            "wall, s": self.wall_s,
            "audio, s": self.audio_s,
            **{f"{name} {cut}, s": value for name, cuts in spreads.items() for cut, value in cuts.items()},
            **{f"{stage} median, s": value for stage, value in self.stages_s.items()},
        }

    def differences(self, other: "Report") -> list[str]:
        """In what the two runs were not asked for the same, so that their ratios say less."""
        return [
            f"{name}: {getattr(self, name)}, baseline {getattr(other, name)}"
            for name in ("broker", "engine", "rate_per_s", "jobs", "audio_s")
            if getattr(self, name) != getattr(other, name)
        ]


def report(run: str, broker: str, rate_per_s: float | None, jobs: int, ended: Sequence[Ended]) -> Report:
    """The figures; those of time from the jobs that were done."""
    done = [(one.record, one.heard) for one in ended if one.heard is not None]
    spans = [(record.requested_at, record.started_at or 0.0, record.finished_at or 0.0) for record, _ in done]
    wall_s = max((end for *_, end in spans), default=0.0) - min((asked for asked, *_ in spans), default=0.0)
    busy_s = max((end for *_, end in spans), default=0.0) - min((begun for _, begun, _ in spans), default=0.0)
    audio_s = round(sum(heard.audio_s for _, heard in done), 3)
    stages: dict[str, list[float]] = {}
    for record, _ in done:
        for stage, seconds in record.timings.items():
            stages.setdefault(stage, []).append(seconds)
    return Report(
        version=VERSION,
        run=run,
        broker=broker,
        engine=", ".join(sorted({heard.engine for _, heard in done})),
        rate_per_s=rate_per_s,
        jobs=jobs,
        done=len(done),
        failed=dict(Counter(_why(one.record) for one in ended if one.heard is None)),
        unfinished=jobs - len(ended),
        repeats={
            "attempts": sum(max(0, one.record.attempts - 1) for one in ended),
            "failures": sum(one.record.failures for one in ended),
            "crashes": sum(one.record.crashes for one in ended),
        },
        jobs_by_worker=dict(sorted(Counter(heard.worker for _, heard in done).items())),
        audio_s=audio_s,
        wall_s=wall_s,
        audio_s_per_s=_ratio(audio_s, wall_s),
        files_per_min=_ratio(60.0 * len(done), wall_s),
        mean_in_flight=_ratio(sum(end - begun for _, begun, end in spans), busy_s),
        latency_s=spread([end - asked for asked, _, end in spans]),
        queue_wait_s=spread([begun - asked for asked, begun, _ in spans]),
        work_s=spread([end - begun for _, begun, end in spans]),
        stages_s={stage: statistics.median(seconds) for stage, seconds in stages.items()},
    )


def _why(record: JobRecord) -> str:
    return record.error.reason if record.state is not JobState.DONE and record.error else NO_TRANSCRIPT


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Percentiles between the values there are, and the largest."""
    if not values:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {**{f"p{percent}": cuts[percent - 1] for percent in PERCENTILES}, "max": max(values)}
