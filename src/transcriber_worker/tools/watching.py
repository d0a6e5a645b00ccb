"""Looking at jobs and stopping them, by their records."""

import threading
from collections.abc import Callable, Iterable, Sequence

from transcriber_worker.domain.clock import Clock
from transcriber_worker.pipeline.records import TERMINAL, JobRecord, JobRecords, JobState
from transcriber_worker.storage.base import ConditionFailed
from transcriber_worker.tools.submitting import Submitted

_LOOK_S = 0.5


def cancel(records: JobRecords, id_: str) -> JobRecord | None:
    """Ask that a job be stopped, by its own or its request's id. Returns its record as it is now, which has ended
    already where nothing was left to stop; None where there is no such job."""
    while True:
        found = records.find(id_)
        if found is None or found.record.state in TERMINAL or found.record.state is JobState.CANCELLING:
            return found.record if found else None
        record = found.record
        wanted = record.model_copy(
            update={"state": JobState.CANCELLING, "revision": record.revision + 1, "beat": record.beat + 1}
        )
        try:
            records.replace(wanted, found.info.etag)
        except ConditionFailed:
            continue
        return wanted


def wait_for(
    records: JobRecords,
    submitted: Sequence[Submitted],
    clock: Clock,
    on_look: Callable[[Iterable[tuple[Submitted, JobRecord | None]]], None],
    give_up: Callable[[], bool] = lambda: False,
) -> list[JobRecord | None]:
    """Wait until every request is answered, looking at the records twice a second; `on_look` sees them each time.
    `give_up`: nobody will answer any more. A job's record answers the request whose message it names."""
    never = threading.Event()
    while True:
        over = give_up()
        seen = [(one, _record(records, one)) for one in submitted]
        on_look(seen)
        if over or all(_answered(one, record) for one, record in seen):
            return [record for _, record in seen]
        clock.wait(never, _LOOK_S)


def _record(records: JobRecords, one: Submitted) -> JobRecord | None:
    found = records.read(one.job.id)
    return found.record if found else None


def _answered(one: Submitted, record: JobRecord | None) -> bool:
    return record is not None and record.state in TERMINAL and record.message_id == one.message_id
