"""The moments of a job's journey, in order, each a place where a worker may die and nothing may be lost."""

from enum import StrEnum
from typing import Protocol


class Milestone(StrEnum):
    CLAIMED = "claimed"
    DOWNLOADED = "downloaded"
    OPENED = "opened"
    """The media child has read the file's header and decodes."""
    WINDOW_SUBMITTED = "window_submitted"
    WINDOW_HEARD = "window_heard"
    ASSEMBLED = "assembled"
    """Everything is heard, nothing is written."""
    COMMITTED = "committed"
    RENDERED = "rendered"
    FINISHED = "finished"
    """The record says done."""
    ANNOUNCED = "announced"
    SETTLED = "settled"


class Observer(Protocol):
    """Told of every milestone, in the job's own thread: the worker's sign of life, and where tests interfere."""

    def __call__(self, job_id: str, milestone: Milestone, /) -> None: ...
