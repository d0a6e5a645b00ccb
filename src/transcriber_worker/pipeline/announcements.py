"""What is announced of a job, as values: the payload that every event shares, and its numbers."""

from hashlib import sha256
from typing import Any

from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import redacted
from transcriber_worker.messages.result import EventType, ProgressData, ResultData, ResultEvent, result_event
from transcriber_worker.pipeline.records import JobRecord


def result_data(job: Job, attempt: int, **fields: Any) -> ResultData:
    """A result's payload, with what every result says of its job."""
    return ResultData(
        job_id=job.id,
        request_id=job.request_id,
        seq=0,
        source=redacted(str(job.source)),
        attempt=attempt,
        attributes=dict(job.attributes),
        **fields,
    )


def progress_event(job: Job, record: JobRecord, count: int, data: ProgressData, now: float) -> ResultEvent:
    """The `count`-th progress event of one attempt. `now`: Unix seconds."""
    payload = result_data(job, record.attempts, progress=data)
    payload = payload.model_copy(update={"seq": sequence_number(record.revision, count)})
    event_id = f"{job.id}:{record.revision}:{count}"
    return result_event(event_id, EventType.PROGRESS, payload, now=now, traceparent=job.traceparent)


def addressed(event: ResultEvent, job: Job, message_id: str) -> ResultEvent:
    """A job's terminal event for whoever asks now. The same publisher's is the very same event; another's carries their
    own request id and attributes, never the first one's, and an id of its own."""
    asked = {"request_id": job.request_id, "attributes": dict(job.attributes)}
    if asked == {"request_id": event.data.request_id, "attributes": event.data.attributes}:
        return event
    suffix = sha256(message_id.encode()).hexdigest()[:12]
    update = {"id": f"{event.id}:{suffix}", "traceparent": job.traceparent, "data": event.data.model_copy(update=asked)}
    return event.model_copy(update=update)


def sequence_number(revision: int, count: int = 0) -> int:
    """A number that grows over a job's events: progress between state changes counts in the lower digits."""
    return revision * 10_000 + min(count, 9_999)
