"""Commit and renderings under races: all outputs of a job tell one story."""

from collections.abc import Callable

import pytest

from tests.workbench import Workbench
from transcriber_worker.domain.errors import LeaseLost
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline.claims import Claim, SourceVersion
from transcriber_worker.pipeline.outputs import Outputs
from transcriber_worker.storage.base import Condition, ObjectInfo
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.transcript.document import TranscriptDocument

WROTE = "application/json"


@pytest.fixture
def document(bench: Workbench) -> TranscriptDocument:
    """A committed transcript, as a draft for other tests."""
    submitted = bench.submit(name="another.wav")
    bench.attend()
    return bench.transcript(submitted)


def claim_for(bench: Workbench, job: Job) -> Claim:
    source = SourceVersion("e", 1.0, "f")
    claim = bench.claims().acquire(job, bench.delivery().message, source, alone=False)
    assert isinstance(claim, Claim)
    return claim


def outputs(bench: Workbench, store: DirectoryStore | None = None) -> Outputs:
    return Outputs(store or bench.store, bench.settings.transcript)


class Interferes(DirectoryStore):
    """A store in which something happens just before a write: `before(uri)`."""

    before: Callable[[ObjectUri], None] = staticmethod(lambda uri: None)

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        self.before(uri)
        return super().write(uri, body, content_type, condition)


def interfering(bench: Workbench) -> Interferes:
    return Interferes(bench.clock, 1.0, bench.places.all)


def changed(document: TranscriptDocument, **fields: object) -> TranscriptDocument:
    return document.model_copy(update=fields)


def test_the_loser_of_a_race_goes_on_from_the_winners(bench: Workbench, document: TranscriptDocument) -> None:
    job = bench.submit().job
    claim, store = claim_for(bench, job), interfering(bench)
    winners = changed(document, text="the winner's")

    def another_commits(uri: ObjectUri) -> None:
        if uri == job.output_for(Format.JSON):
            bench.store.write(uri, winners.to_bytes(), WROTE)
            store.before = lambda uri: None

    store.before = another_commits

    assert outputs(bench, store).commit(job, claim, document, None) == winners


def test_a_stale_transcript_that_appears_meanwhile_is_replaced(bench: Workbench, document: TranscriptDocument) -> None:
    job = bench.submit().job
    claim, store = claim_for(bench, job), interfering(bench)

    def a_zombie_commits(uri: ObjectUri) -> None:
        if uri == job.output_for(Format.JSON):
            bench.store.write(uri, changed(document, fingerprint="of older options").to_bytes(), WROTE)
            store.before = lambda uri: None

    store.before = a_zombie_commits

    assert outputs(bench, store).commit(job, claim, document, None) == document
    assert TranscriptDocument.from_bytes(bench.store.read(job.output_for(Format.JSON))[0]) == document


def test_nothing_is_committed_without_the_claim(bench: Workbench, document: TranscriptDocument) -> None:
    job = bench.submit().job
    claim = claim_for(bench, job)
    bench.clock.advance(1000.0)
    claim_of_another = bench.claims("w2").acquire(job, bench.delivery().message, None, alone=True)
    assert isinstance(claim_of_another, Claim)

    with pytest.raises(LeaseLost):
        outputs(bench).commit(job, claim, document, None)
    with pytest.raises(LeaseLost):
        outputs(bench).render(job, claim, document)

    assert not job.output_for(Format.JSON).path.exists()
    assert not job.output_for(Format.SRT).path.exists()


def test_a_rendering_by_a_worker_stopped_after_its_proof_does_not_overwrite_a_newer_one(
    bench: Workbench, document: TranscriptDocument
) -> None:
    """SIGSTOP between the proof of the claim and the write; meanwhile another worker does the whole job."""
    job = bench.submit().job
    claim, store = claim_for(bench, job), interfering(bench)
    bench.store.write(job.output_for(Format.TXT), b"of an earlier version", "text/plain")

    def stopped_here(uri: ObjectUri) -> None:
        if uri == job.output_for(Format.TXT):
            store.before = lambda uri: None
            bench.clock.advance(1000.0)
            assert isinstance(bench.claims("w2").acquire(job, bench.delivery().message, None, alone=True), Claim)
            bench.store.write(uri, b"the new worker's", "text/plain")

    store.before = stopped_here

    with pytest.raises(LeaseLost):
        outputs(bench, store).render(job, claim, document)

    assert bench.store.read(job.output_for(Format.TXT))[0] == b"the new worker's"


def test_only_the_formats_asked_for_are_written(bench: Workbench) -> None:
    submitted = bench.submit(formats=["srt"])
    bench.attend()

    there = {format_ for format_ in Format if submitted.job.output_for(format_).path.exists()}

    assert there == {Format.JSON, Format.SRT}


def test_something_else_under_the_transcripts_name_is_replaced(bench: Workbench) -> None:
    submitted = bench.submit()
    bench.store.write(submitted.job.output_for(Format.JSON), b"not a transcript", WROTE)

    bench.attend()

    assert bench.transcript(submitted).job_id == submitted.job.id
