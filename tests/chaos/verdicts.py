"""What must be true of jobs once all is over, whatever happened to the workers meanwhile."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tests.chaos.deployment import Deployment
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.transcript.document import TranscriptDocument

_WORD = re.compile(r"w(\d+)-([0-9a-f]{32}\.[0-9a-f]{16})-(\d+)")
"""A word of the fake model: window, job and claim, number."""

Words = list[tuple[int, int]]
"""Window and number of every word."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a deployment shows the world, read once."""

    outputs: Mapping[str, bytes]
    terminal: Mapping[str, Sequence[Mapping[str, Any]]]
    """The terminal events of each job, as often as they were announced."""
    letters: Mapping[str, Mapping[str, Any]]
    left: Sequence[PurePath]
    record: Callable[[Job], JobRecord | None]

    @classmethod
    def of(cls, deployment: Deployment) -> "Evidence":
        terminal = defaultdict(list)
        for event in deployment.results():
            if event["type"] != "transcription.progress":
                terminal[event["subject"]].append(event)
        return cls(deployment.outputs(), dict(terminal), deployment.letters(), deployment.messages(), deployment.record)


def assert_all_done(deployment: Deployment, jobs: Sequence[Job]) -> None:
    """Every job has exactly one complete set of outputs, all of one claim, and said so; nothing is left over."""
    evidence = Evidence.of(deployment)
    assert evidence.letters == {}
    assert list(evidence.left) == []
    expected = {f"{job.name}.{format_}" for job in jobs for format_ in Format}
    assert set(evidence.outputs) == expected
    words = {job.id: _done(evidence, job) for job in jobs}
    by_recording: dict[str, Words] = {}
    for job in jobs:  # the same recording says the same whoever heard it, and how often it was begun
        assert words[job.id] == by_recording.setdefault(job.name.partition("-")[0], words[job.id])


def assert_done(deployment: Deployment, job: Job) -> Words:
    """One job's record, outputs and events agree; returns its words."""
    return _done(Evidence.of(deployment), job)


def _done(evidence: Evidence, job: Job) -> Words:
    record = evidence.record(job)
    assert record is not None
    assert record.state is JobState.DONE
    assert record.token is None
    outputs = evidence.outputs
    document = TranscriptDocument.from_bytes(outputs[f"{job.name}.json"])
    claim = f"{job.id}.{document.attempt.id}"
    words = _words(document.text, claim)
    assert words, f"{job.name} has no words"
    assert words == sorted(words)
    assert words == _words("\n".join(segment.text for segment in document.segments), claim)
    for format_ in (Format.TXT, Format.SRT, Format.VTT):
        assert _words(outputs[f"{job.name}.{format_}"].decode(), claim) == words, f"{job.name}.{format_}"
    terminal = evidence.terminal.get(job.id, ())
    assert terminal, f"nobody was told of {job.name}"
    assert {event["type"] for event in terminal} == {"transcription.completed"}
    assert record.result is not None
    assert record.result.data.attempt == document.attempt.number, "the answer is not about this transcript"
    assert record.result.id in {event["id"] for event in terminal}
    return words


def _words(text: str, claim: str) -> Words:
    found = _WORD.findall(text)
    assert {stamp for _, stamp, _ in found} <= {claim}, "words of several claims"
    return [(int(window), int(number)) for window, _, number in found]


@dataclass(slots=True)
class Verdict:
    """On many jobs at once: each list names what is wrong, one line a job."""

    jobs: int
    lost: list[str] = field(default_factory=list)
    """Neither transcript nor letter, or nobody was told."""
    mixed: list[str] = field(default_factory=list)
    """Outputs that don't agree, or more of them than were asked for."""
    duplicates: list[str] = field(default_factory=list)
    """More than one answer: different terminal events."""
    wrongly_dead: list[str] = field(default_factory=list)
    charged: list[str] = field(default_factory=list)
    """Jobs that a failure was counted for, though none was their own."""
    left: list[str] = field(default_factory=list)
    """Still with the broker."""

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.mixed, *self.duplicates, *self.wrongly_dead, *self.charged, *self.left]


def judge(evidence: Evidence, jobs: Sequence[Job], poison: Sequence[Job]) -> Verdict:
    """`poison`: jobs that must have come to a dead letter instead."""
    verdict = Verdict(len(jobs) + len(poison), left=[f"left over: {path}" for path in evidence.left])
    guilty = {job.id for job in poison}
    verdict.wrongly_dead += [
        f"{letter['id']}: {letter['reason']}: {letter['message']}"
        for id_, letter in evidence.letters.items()
        if id_ not in guilty
    ]
    for job in jobs:
        record = evidence.record(job)
        if record is None or record.state is not JobState.DONE or not evidence.terminal.get(job.id):
            verdict.lost.append(f"{job.name} {job.id}: {record.state if record else 'no record'}")
            continue
        if record.failures:
            verdict.charged.append(f"{job.name} {job.id}: {record.failures} failures, {record.crashes} crashes")
        try:
            _done(evidence, job)
        except (AssertionError, KeyError, ValueError) as error:
            verdict.mixed.append(f"{job.name} {job.id}: {type(error).__name__} {error}")
    for job in poison:
        record = evidence.record(job)
        dead = record is not None and record.state is JobState.DEAD and job.id in evidence.letters
        if not dead or not evidence.terminal.get(job.id):
            verdict.lost.append(f"poison {job.name} {job.id}: {record.state if record else 'no record'}")
    for id_, events in evidence.terminal.items():
        if len({(event["id"], event["type"]) for event in events}) > 1:
            verdict.duplicates.append(f"{id_}: {sorted({event['id'] for event in events})}")
    expected = {f"{job.name}.{format_}" for job in jobs for format_ in Format}
    verdict.mixed += [f"unasked for: {name}" for name in sorted(set(evidence.outputs) - expected)]
    return verdict
