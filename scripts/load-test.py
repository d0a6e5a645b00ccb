#!/usr/bin/env python3
"""How much a running deployment gets done: sends it many jobs, waits for them, and tells where the time went.

    python scripts/load-test.py --config worker.yaml recordings/                     # each recording once
    python scripts/load-test.py --config worker.yaml --jobs 200 --rate 5 oci://recordings@my-namespace/sample/
    python scripts/load-test.py --config worker.yaml --jobs 200 recordings/ --json after.json --baseline before.json
    python scripts/load-test.py --config worker.yaml --jobs 20 recordings/ --request '{"language": "pt"}' --clean

Workers are the deployment's own: this only publishes, with the settings they run with. Every job is one of its own,
whose outputs lie below load-tests/<run>/ of `storage.output`, so recordings are used as often as it takes, and nobody
else's transcripts are touched. What is measured comes from the jobs' records and transcripts, by the clocks of broker
and workers; watching costs the store --looks-per-s reads a second. docs/load-testing.md says how to read it.

--clean removes the test's outputs, records, dead letters and uploads. Result events stay: nobody can take them back.
Ctrl-C (or SIGTERM) cancels what is left and reports the rest; --leave lets the workers go on.
"""

import argparse
import json
import shutil
import signal
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from transcriber_worker.app import Office, open_office
from transcriber_worker.cli import exit_with
from transcriber_worker.cli.arguments import above_zero
from transcriber_worker.cli.configs import settings_of
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Format
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.request import validate_request
from transcriber_worker.pipeline.records import TERMINAL, JobRecord, JobState
from transcriber_worker.storage.base import ObjectNotFound
from transcriber_worker.tools.backlog import Backlog, Named, pace
from transcriber_worker.tools.check_config import own_directories
from transcriber_worker.tools.load_report import Ended, Heard, Report, report
from transcriber_worker.tools.submitting import Source, Submitted, Submitter
from transcriber_worker.tools.watching import cancel
from transcriber_worker.transcript.document import TranscriptDocument

FOLDER = "load-tests"


class LoadTest:
    """One run: what it sent, and what has ended."""

    def __init__(
        self, office: Office, chosen: argparse.Namespace, stop: threading.Event, tell: Callable[[str], None]
    ) -> None:
        """`stop`: set when no more is wanted."""
        self.run = time.strftime("%Y%m%d-%H%M%S-", time.gmtime(office.clock.now())) + uuid.uuid4().hex[:6]
        self.place = office.places.output.child(f"{FOLDER}/{self.run}/")
        self.sent: list[Submitted] = []
        self.ended: dict[str, Ended] = {}
        self._office = office
        self._chosen = chosen
        self._stop = stop
        self._tell = tell
        self._uploads: list[ObjectUri] = []

    def publish(self) -> None:
        """Send all requests."""
        office, chosen = self._office, self._chosen
        sources = list(self._sources())
        count = chosen.jobs or len(sources)
        submitter = Submitter(office.broker, office.records, office.places.rules, None, office.clock)
        wait = pace(office.clock, chosen.rate, self._stop)
        for number, source in enumerate(islice(cycle(sources), count), start=1):
            wait()
            if self._stop.is_set():
                return
            fields = {**chosen.request, "output": str(self.place.child(f"{number:06}/"))}
            self.sent.append(submitter.submit(Source(str(source)), fields))
            self._tell(f"{number} of {count} published")

    def _sources(self) -> Iterator[ObjectUri]:
        """The recordings as workers see them: local files are put where they may be read."""
        office, chosen = self._office, self._chosen
        backlog = Backlog(office.store, office.places.rules, Path.cwd(), own_directories(office.settings))
        for entry in backlog.entries([Named(text) for text in chosen.sources], chosen.match):
            source = entry.source
            if source.file is None:
                yield ObjectUri.parse(source.text)
                continue
            if office.shelve is None:
                message = "this deployment has no storage.uploads for local files: name a prefix that workers may read"
                raise RejectJob(Reason.INVALID_REQUEST, message)
            self._uploads.append(office.shelve(source.file, f"{FOLDER}/{self.run}/{source.name}"))
            yield self._uploads[-1]

    def watch(self) -> None:
        """Look until all have ended, or none has for `--patience-s`. Each is looked at in turn, at a bounded rate, as
        the store belongs to the workers: when a job ended is told by its record, whenever that is read."""
        office, chosen = self._office, self._chosen
        wait, left = pace(office.clock, chosen.looks_per_s, self._stop), deque(self.sent)
        moved_at, beats = office.clock.monotonic(), Counter[str]()
        while left and not self._stop.is_set() and office.clock.monotonic() - moved_at < chosen.patience_s:
            wait()
            one = left.popleft()
            found = office.records.read(one.job.id)
            if found is not None and found.record.beat != beats[one.job.id]:
                moved_at, beats[one.job.id] = office.clock.monotonic(), found.record.beat
            if found is None or found.record.state not in TERMINAL:
                left.append(one)
                continue
            self.ended[one.job.id] = Ended(found.record, self._heard(one, found.record))
            self._tell(f"{len(self.ended)} of {len(self.sent)} ended")

    def _heard(self, one: Submitted, record: JobRecord) -> Heard | None:
        if record.state is not JobState.DONE:
            return None
        try:
            return Heard.of(TranscriptDocument.from_bytes(self._office.store.read(one.job.output_for(Format.JSON))[0]))
        except (ObjectNotFound, ValueError):  # done, it says: that it is not there is what a test has to find
            return None

    def cancel(self) -> int:
        """Ask that all that has not ended be stopped; returns how many there were."""
        left = [one for one in self.sent if one.job.id not in self.ended]
        for one in left:
            cancel(self._office.records, one.job.id)
        return len(left)

    def clean(self) -> None:
        """Remove what ended jobs left; the recordings and their folders once all have ended."""
        office = self._office
        for one in self.sent:
            if one.job.id in self.ended:
                for format_ in one.job.formats:
                    office.store.delete(one.job.output_for(format_))
                office.broker.dead_letters.resolve(one.job.id)
                office.records.forget(one.job.id)
        if len(self.ended) < len(self.sent):
            return
        for uri in self._uploads:
            office.store.delete(uri)
        for place in {self.place, *(self._folder(uri) for uri in self._uploads)}:
            if place.scheme == "file":
                shutil.rmtree(place.path, ignore_errors=True)

    def report(self) -> Report:
        broker = self._office.settings.broker.kind.value
        return report(self.run, broker, self._chosen.rate, len(self.sent), list(self.ended.values()))

    def _folder(self, uri: ObjectUri) -> ObjectUri:
        """This run's own folder, which an upload lies in."""
        return ObjectUri(uri.scheme, uri.authority, uri.key[: uri.key.index(self.run)] + f"{self.run}/")


def load_test(chosen: argparse.Namespace) -> int:
    """The whole run; returns the exit code."""
    baseline = read_report(chosen.baseline) if chosen.baseline else None
    console, stop = Console(stderr=True, markup=False, highlight=False), threading.Event()

    def stopped(number: int, _frame: object) -> None:
        signal.signal(number, signal.default_int_handler)  # the second one ends it here and now
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopped)
    with open_office(settings_of(chosen)) as office, console.status("") as status:
        test = LoadTest(office, chosen, stop, status.update)
        print(f"run {test.run}: outputs below {test.place}", file=sys.stderr)
        test.publish()
        test.watch()
        left = 0 if chosen.leave else test.cancel()
        found = test.report()
        if chosen.clean:
            status.update("cleaning")
            test.clean()
    show(found, baseline)
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    if left:
        print(f"{left} jobs had not ended and were cancelled", file=sys.stderr)
    if stop.is_set():
        return ExitCode.INTERRUPTED
    return ExitCode.OK if found.done == found.jobs else ExitCode.JOB_FAILED


def show(found: Report, baseline: Report | None) -> None:
    """The table; with ratios to the baseline where there is one."""
    console = Console(width=None if sys.stdout.isatty() else 140, markup=False, highlight=False)
    table = Table("figure", "now", *(["baseline", "now / baseline"] if baseline else []))
    for column in table.columns[1:]:
        column.justify = "right"
    then = baseline.figures() if baseline else {}
    for name, value in found.figures().items():
        other = then.get(name)
        compared = (number(other), f"{value / other:.2f}" if other else "") if other is not None else ("", "")
        table.add_row(name, number(value), *(compared if baseline else ()))
    console.print(f"{found.jobs} jobs on {found.broker}, {found.engine or 'no engine seen'}: {found.done} done")
    for what, counts in (("failed", found.failed), ("repeated", found.repeats), ("by worker", found.jobs_by_worker)):
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        console.print(f"{what}: {told or 'none'}")
    if found.unfinished:
        console.print(f"not ended: {found.unfinished}")
    console.print(table)
    for difference in found.differences(baseline) if baseline else ():
        console.print(f"not the same load: {difference}")


def number(value: float) -> str:
    return f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def read_report(path: Path) -> Report:
    """What --json has written before."""
    try:
        return Report.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RejectJob(Reason.INVALID_REQUEST, f"the baseline {path} can't be read: {error}") from None


def request_fields(text: str) -> dict[str, Any]:
    """Further fields of every request."""
    try:
        fields = json.loads(text)
        validate_request({"source": "file:///", **fields})
    except (ValueError, TypeError, RejectJob, RetryJob) as error:
        raise argparse.ArgumentTypeError(f"{error}") from None
    for name in ("source", "output", "id"):
        if name in fields:
            raise argparse.ArgumentTypeError(f"{name} is the test's own business")
    return dict(fields)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("sources", nargs="+", metavar="SOURCE", help="recordings: files, folders, URIs, prefixes")
    options.add_argument("--config", type=Path, metavar="FILE", help="the workers' own settings")
    options.add_argument("--match", metavar="PATTERN", help="of folders and prefixes, only names such as '*.mp3'")
    options.add_argument("--jobs", type=above_zero(int), metavar="N", help="default: one for each recording")
    options.add_argument("--rate", type=above_zero(float), metavar="PER_S", help="default: all at once")
    options.add_argument(
        "--request", type=request_fields, default={}, metavar="JSON", help="more fields of each request"
    )
    options.add_argument(
        "--patience-s", type=above_zero(float), default=600.0, help="give up when nothing moves for so long"
    )
    options.add_argument("--looks-per-s", type=above_zero(float), default=50.0, help="records read while waiting")
    options.add_argument("--json", type=Path, metavar="FILE", help="where the report goes")
    options.add_argument("--baseline", type=Path, metavar="FILE", help="a report to compare with")
    options.add_argument("--clean", action="store_true", help="remove what the test left")
    options.add_argument("--leave", action="store_true", help="when interrupted or out of patience, cancel nothing")
    chosen = options.parse_args()
    if chosen.json and not chosen.json.parent.is_dir():
        options.error(f"--json: there is no folder {chosen.json.parent}")  # not after a night's run
    exit_with(lambda: load_test(chosen))


if __name__ == "__main__":
    main()
