"""What must be true of jobs once all is over, whatever happened to the workers meanwhile."""

import re
from collections.abc import Sequence

from tests.chaos.deployment import Deployment
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.transcript.document import TranscriptDocument

_WORD = re.compile(r"w(\d+)-([0-9a-f]{32}\.[0-9a-f]{16})-(\d+)")
"""A word of the fake model: window, job and claim, number."""

Words = list[tuple[int, int]]
"""Window and number of every word."""


def assert_all_done(deployment: Deployment, jobs: Sequence[Job]) -> None:
    """Every job has exactly one complete set of outputs, all of one claim, and said so; nothing is left over."""
    assert deployment.letters() == {}
    assert deployment.messages() == []
    expected = {f"{job.name}.{format_}" for job in jobs for format_ in Format}
    assert set(deployment.outputs()) == expected
    words = {job.id: assert_done(deployment, job) for job in jobs}
    by_recording: dict[str, Words] = {}
    for job in jobs:  # the same recording says the same whoever heard it, and how often it was begun
        assert words[job.id] == by_recording.setdefault(job.name.partition("-")[0], words[job.id])


def assert_done(deployment: Deployment, job: Job) -> Words:
    """One job's record, outputs and events agree; returns its words."""
    record = deployment.record(job)
    assert record is not None
    assert record.state is JobState.DONE
    assert record.token is None
    outputs = deployment.outputs()
    document = TranscriptDocument.from_bytes(outputs[f"{job.name}.json"])
    claim = f"{job.id}.{document.attempt.id}"
    words = _words(document.text, claim)
    assert words, f"{job.name} has no words"
    assert words == sorted(words)
    assert words == _words("\n".join(segment.text for segment in document.segments), claim)
    for format_ in (Format.TXT, Format.SRT, Format.VTT):
        assert _words(outputs[f"{job.name}.{format_}"].decode(), claim) == words, f"{job.name}.{format_}"
    terminal = [event for event in deployment.results(job) if event["type"] != "transcription.progress"]
    assert terminal, f"nobody was told of {job.name}"
    assert {event["type"] for event in terminal} == {"transcription.completed"}
    assert record.result is not None
    assert record.result.id in {event["id"] for event in terminal}
    return words


def _words(text: str, claim: str) -> Words:
    found = _WORD.findall(text)
    assert {stamp for _, stamp, _ in found} <= {claim}, "words of several claims"
    return [(int(window), int(number)) for window, _, number in found]
