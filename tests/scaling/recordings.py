"""What the exporter answered while workers came and went: the files docs/scaling/*.json."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from tests.chart.tools import CHART, PROJECT
from tests.scaling.keda import Autoscaler, Decision, Release, ScaledObject, kafka_metric

FOLDER = PROJECT / "docs" / "scaling"


def chart_autoscaling() -> dict[str, Any]:
    """The section `autoscaling` of the chart's values, as far as it decides how many workers there are."""
    section = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["autoscaling"]
    return {name: section[name] for name in DECISIVE}


DECISIVE = (
    "minReplicas",
    "maxReplicas",
    "messagesPerWorker",
    "pollingInterval",
    "cooldownPeriod",
    "fallback",
    "behavior",
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(_Strict):
    """The body of a 200 from /v1/backlog."""

    backlog: int
    waiting: int
    in_flight: int
    dead_letters: int | None
    age_s: float


class Sample(_Strict):
    """One turn. Seconds are the cluster's, but for `age_s`."""

    at_s: float
    status: int
    """Of /v1/backlog; 0: nobody listened."""
    answer: Answer | None = None
    metrics_status: int
    metrics: dict[str, float] = {}
    """The gauges of the backlog on /metrics."""
    partitions_with_lag: int | None = None
    """On Kafka, whose own trigger asks for it."""
    workers: int
    """Processes that work."""
    stopping: int
    """Processes that were told to stop and have not ended yet."""
    desired: int
    """How many the autoscaler asked for upon this answer."""
    did: list[str] = []
    """What was done to the cluster in this turn, before it was asked."""

    @model_validator(mode="after")
    def _answers_fit(self) -> "Sample":
        if (self.status == 200) != (self.answer is not None):
            raise ValueError("a 200 has an answer, and nothing else has")
        if self.answer is not None and self.answer.backlog != self.answer.waiting + self.answer.in_flight:
            raise ValueError("the backlog is what waits and what is in flight")
        return self


class ScaleIn(_Strict):
    """A worker that was told to stop. Seconds are the cluster's."""

    at_s: float
    worker: str
    in_flight: int
    """Jobs that it had."""
    finished: int
    """Of them, those it finished before it ended."""
    handed_back: int
    done_s: float
    """How long the jobs that it handed back had been worked on when it was told to stop, together."""
    drained_s: float
    """How long they were worked on after that, together: as the rest, for nothing."""
    lasted_s: float
    """Until it had ended."""
    exit_code: int


class Outcome(_Strict):
    """What became of the jobs."""

    jobs: int
    transcripts: int
    jobs_with_one_transcript: int
    jobs_with_one_result: int
    """Told as done by result events of one id."""
    dead_letters: int
    begun: int
    """Attempts, all jobs together."""


class Recording(_Strict):
    """One scenario."""

    scenario: str
    about: str
    broker: str
    compression: float
    """Seconds of the cluster that a recorded one stands for."""
    keda: Release
    """Whose rules ran the workers."""
    partitions: int | None = None
    autoscaling: dict[str, Any]
    """The chart's values by which the workers ran."""
    slots: int
    """Files that a worker has at once."""
    drain_s: float
    files: dict[str, float]
    """Seconds of the cluster that a worker takes for a file, by the name of its kind."""
    samples: list[Sample]
    scale_ins: list[ScaleIn]
    outcome: Outcome

    def save(self, folder: Path) -> Path:
        """A turn a line, so that a change of one is a change of one line."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        lines = [f'"{name}": {json.dumps(fields[name])}' for name in fields if name not in ("samples", "scale_ins")]
        for name in ("samples", "scale_ins"):
            rows = ",\n".join(f"  {json.dumps(row)}" for row in fields[name])
            lines.append(f'"{name}": [\n{rows}\n]' if rows else f'"{name}": []')
        path = folder / f"{self.scenario}.json"
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> "Recording":
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def decisions(
        self,
        autoscaling: Mapping[str, Any] | None = None,
        release: Release | None = None,
        metric: Callable[["Recording", Sample], float | None] | None = None,
    ) -> Iterator[Decision]:
        """What an autoscaler would do upon these answers, one decision a sample. By default the very one that ran the
        workers; `metric`: another reading of the answers."""
        values = autoscaling or self.autoscaling
        read = metric or metric_of
        scaler = Autoscaler(ScaledObject.of(values), release or self.keda, self.samples[0].workers)
        for sample in self.samples:
            yield scaler.step(sample.at_s, read(self, sample))


def metric_of(recording: Recording, sample: Sample) -> float | None:
    """What the chart's trigger makes of a sample."""
    return metric_of_answer(sample.answer, sample.partitions_with_lag, recording.autoscaling["messagesPerWorker"])


def metric_of_answer(answer: Answer | None, partitions_with_lag: int | None, threshold: int) -> float | None:
    """The exporter's backlog, or with `partitions_with_lag` what KEDA's own Kafka trigger says."""
    if answer is None:
        return None
    if partitions_with_lag is None:
        return answer.backlog
    return kafka_metric(answer.backlog, partitions_with_lag, threshold)


def waiting_only(_recording: Recording, sample: Sample) -> float | None:
    """What a trigger would make of it that does not count what is in work, as queue lengths often don't."""
    return None if sample.answer is None else sample.answer.waiting


def all_recordings() -> list[Recording]:
    return [Recording.load(path) for path in sorted(FOLDER.glob("*.json"))]
