"""What commands show, on a terminal and elsewhere."""

import io
import time

import pytest
from rich.console import Console

from tests.builders import make_job, make_record
from transcriber_worker.cli import display
from transcriber_worker.cli.display import _Bars, show_records
from transcriber_worker.messages.result import ProgressData, failure
from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.tools.submitting import Submitted

ODD_NAME = "x[/b]{y}.wav"
"""Rich would take it for the end of bold text."""


def shown(console: Console, *records: JobRecord | None) -> str:
    job = make_job(name=ODD_NAME)
    one = Submitted(job, "m1")
    with _Bars(console, [one]) as bars:
        for record in records:
            bars.look([(one, record)])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def record(state: JobState, **fields: object) -> JobRecord:
    return make_record(make_job(name=ODD_NAME), state=state, **fields)


def test_elsewhere_each_change_is_one_line() -> None:
    half = record(JobState.RUNNING, progress=ProgressData(percent=50, eta_s=12.4))
    told = shown(
        Console(file=io.StringIO(), width=200),
        None,
        record(JobState.QUEUED),
        record(JobState.RUNNING, stage="download"),
        half,
        half,
        record(JobState.DONE),
    )
    notes = ("queued", "download", "50 %, 12 s left", "done")
    assert told.splitlines() == [f"{ODD_NAME}: {note}" for note in notes]


def test_on_a_terminal_bars_take_names_and_messages_as_they_are() -> None:
    error = failure("media_unreadable", "no [/i] audio", "open")
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    told = shown(console, record(JobState.DEAD, error=error))
    assert ODD_NAME in told
    assert "no [/i] audio" in told


def test_ids_are_never_cut_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "_WIDTH", 60)
    job = make_job(requested_at=time.time())
    show_records([make_record(job)])
    assert job.id in capsys.readouterr().out
