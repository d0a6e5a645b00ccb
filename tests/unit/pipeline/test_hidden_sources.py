"""A job that is done stays done when its source can't be seen any more, be it for a while or for good."""

import pytest

from tests.workbench import Workbench
from transcriber_worker.domain.errors import EnvironmentDown, Reason
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.storage.base import ObjectInfo


def test_a_second_message_for_a_done_job_waits_for_its_source_and_is_answered_the_same(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = bench.submit()
    assert bench.attend().ending is Ending.COMPLETED
    done, worker = bench.record(submitted), bench.worker()
    bench.resubmit()
    second, head = bench.delivery(), bench.store.head

    def look(uri: ObjectUri) -> ObjectInfo:
        if uri == submitted.job.source:
            raise EnvironmentDown("503 from the source's bucket")
        return head(uri)

    with monkeypatch.context() as outage:
        outage.setattr(bench.store, "head", look)
        assert bench.attend(second, worker).ending is Ending.HELD_ELSEWHERE
        assert bench.record(submitted) == done
    bench.clock.advance(100.0)

    assert bench.attend(second, worker).ending is Ending.ALREADY_DONE
    assert len(bench.results()) == 1


def test_a_second_message_for_a_done_job_whose_source_was_deleted_is_answered_with_its_transcript(
    bench: Workbench,
) -> None:
    submitted = bench.submit()
    assert bench.attend().ending is Ending.COMPLETED
    bench.resubmit()
    submitted.job.source.path.unlink()

    assert bench.attend().ending is Ending.ALREADY_DONE

    assert bench.record(submitted).state is JobState.DONE
    assert list(bench.broker.dead_letters.list()) == []
    assert len(bench.results()) == 1


def test_a_request_for_something_else_of_a_deleted_source_can_not_be_done(bench: Workbench) -> None:
    submitted = bench.submit()
    bench.attend()
    bench.resubmit(word_timestamps=True)
    submitted.job.source.path.unlink()

    assert bench.attend().reason is Reason.SOURCE_NOT_FOUND
