"""What commands show: live progress, tables, transcripts' first lines. Bars on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from transcriber_worker.domain.clock import Clock
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.pipeline.records import JobRecord, JobRecords, JobState, StoredRecord
from transcriber_worker.tools.submitting import Submitted
from transcriber_worker.tools.watching import wait_for

_WIDTH = 200
Seen = Iterable[tuple[Submitted, JobRecord | None]]


def tell(line: str) -> None:
    """A line for whoever waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def wait_and_show(
    records: JobRecords, submitted: Sequence[Submitted], clock: Clock, give_up: Callable[[], bool] = lambda: False
) -> int:
    """Show jobs as they go until all have ended; returns how many ended without a transcript."""
    console = Console(stderr=True)
    with _Bars(console, submitted) as bars:
        ended = wait_for(records, submitted, clock, bars.look, give_up)
    return sum(1 for record in ended if record is None or record.state is not JobState.DONE)


class _Bars:
    """One bar a job on a terminal; elsewhere one line whenever a job's state changes."""

    def __init__(self, console: Console, submitted: Sequence[Submitted]) -> None:
        self._console = console
        name, note = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[note]}"))
        columns = (SpinnerColumn(), name, BarColumn(), note)
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, str] = {}
        for one in submitted:
            self._tasks[one.job.id] = self._progress.add_task(one.job.name, total=100, note="queued")

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def look(self, seen: Seen) -> None:
        for one, record in seen:
            state = record.state if record else JobState.QUEUED
            note = self._note(record)
            done = record.progress.percent if record and record.progress else 100 if state in _ENDED else 0
            self._progress.update(self._tasks[one.job.id], completed=done, note=note)
            if not self._console.is_terminal and self._told.get(one.job.id) != note:
                self._told[one.job.id] = note
                self._console.print(f"{one.job.name}: {note}", markup=False, highlight=False)

    @staticmethod
    def _note(record: JobRecord | None) -> str:
        if record is None:
            return JobState.QUEUED
        if record.state is JobState.DEAD and record.error:
            return f"dead-lettered: {record.error.reason}: {record.error.message}"
        if record.state is JobState.RUNNING and record.progress:
            eta = f", {record.progress.eta_s:.0f} s left" if record.progress.eta_s is not None else ""
            return f"{record.progress.percent:.0f} %{eta}"
        return f"{record.stage}" if record.state is JobState.RUNNING and record.stage else record.state.value


_ENDED = (JobState.DONE, JobState.DEAD, JobState.CANCELLED)


def show_records(records: Iterable[JobRecord]) -> None:
    """All jobs, the newest request last."""
    table = Table(_id_column("job"), "name", "state", "attempts", "progress", "requested")
    for record in sorted(records, key=lambda record: record.requested_at):
        progress = f"{record.progress.percent:.0f} %" if record.progress else ""
        table.add_row(
            record.job_id, record.name, record.state, str(record.attempts), progress, _moment(record.requested_at)
        )
    _console().print(table)


def show_record(found: StoredRecord) -> None:
    """One job, line by line."""
    record = found.record
    lines = {
        "job": record.job_id,
        "request": record.request_id or None,
        "name": record.name,
        "state": f"{record.state.value}{'' if found.held or not record.owner else ' (its worker has gone silent)'}",
        "attempts": record.attempts,
        "failures": record.failures or None,
        "crashes": record.crashes or None,
        "worker": record.owner,
        "stage": record.stage,
        "progress": f"{record.progress.percent:.1f} %" if record.progress else None,
        "time left": f"{record.progress.eta_s:.0f} s" if record.progress and record.progress.eta_s else None,
        "requested": _moment(record.requested_at),
        "started": _moment(record.started_at) if record.started_at else None,
        "finished": _moment(record.finished_at) if record.finished_at else None,
        "error": f"{record.error.reason}: {record.error.message}" if record.error else None,
        **{f"output {name}": uri for name, uri in (record.result.data.outputs if record.result else {}).items()},
    }
    for name, value in lines.items():
        if value is not None:
            sys.stdout.write(f"{name:>12}  {value}\n")


def show_letters(letters: Iterable[DeadLetter]) -> None:
    """All dead letters."""
    table = Table(_id_column("id"), "request", "reason", "stage", "attempts", "time", "message")
    for letter in letters:
        table.add_row(
            letter.id,
            letter.request_id,
            letter.reason,
            letter.stage,
            str(letter.attempts),
            letter.time.isoformat(timespec="seconds"),
            letter.message,
        )
    _console().print(table)


def _console() -> Console:
    """As wide as the terminal; elsewhere wide enough for scripts to find whole values."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH, markup=False, highlight=False)


def _id_column(header: str) -> Column:
    """Ids are there to be copied: never cut."""
    return Column(header, no_wrap=True, min_width=32)


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")
