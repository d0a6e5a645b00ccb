"""`submit`: one file, or a night's backlog."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transcriber_worker.cli.arguments import above_zero
from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Channels, Format, Priority, Task
from transcriber_worker.domain.uri import printable, redacted
from transcriber_worker.pipeline.records import BrokenRecord, JobRecord

if TYPE_CHECKING:
    from transcriber_worker.app import Office
    from transcriber_worker.tools.backlog import Entry, Named
    from transcriber_worker.tools.submitting import Submitted, Submitter

_NO_ID_YET = "-" * 32


def add_commands(commands: Commands) -> None:
    """`submit`."""
    submit = commands.add_parser("submit", help="send requests for local files, folders, URIs or whole prefixes")
    add_config_option(submit)
    submit.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a file, a folder, a URI, or a prefix that ends in a slash",
    )
    submit.add_argument("--wait", action="store_true", help="show progress and wait for the results")
    backlog = submit.add_argument_group("many at once")
    backlog.add_argument(
        "--from", dest="manifest", metavar="FILE", help="a source or a request's JSON a line; -: standard input"
    )
    backlog.add_argument("--match", metavar="PATTERN", help="of folders and prefixes, only names such as '*.mp3'")
    backlog.add_argument("--once", action="store_true", help="leave out what --once has sent before")
    backlog.add_argument("--limit", type=above_zero(int), metavar="N", help="send N requests at most")
    backlog.add_argument(
        "--rate", type=above_zero(float), metavar="PER_S", help="send so many requests a second at most"
    )
    backlog.add_argument("--dry-run", action="store_true", help="show what would be sent; send nothing")
    _add_request_options(submit)
    submit.set_defaults(command=_submit, wrong=submit.error)


def _add_request_options(submit: argparse.ArgumentParser) -> None:
    """Options named like the request's fields."""
    request = submit.add_argument_group("request")
    request.add_argument("--id", help="your own id, with one source")
    request.add_argument("--output", metavar="PREFIX", help="where the transcripts go")
    request.add_argument(
        "--language", metavar="CODE", help="language spoken, or `mixed` where it changes on the way; default: detect it"
    )
    request.add_argument("--languages", metavar="CODE", nargs="+", help="detect among these only")
    request.add_argument("--task", choices=[task.value for task in Task])
    request.add_argument("--format", dest="formats", action="append", choices=[format_.value for format_ in Format])
    request.add_argument("--word-timestamps", action="store_const", const=True)
    request.add_argument("--channels", choices=[channels.value for channels in Channels])
    request.add_argument("--clip", nargs=2, type=float, metavar=("START_S", "END_S"))
    request.add_argument("--prompt")
    request.add_argument("--hotword", dest="hotwords", action="append")
    request.add_argument("--speed", type=float)
    request.add_argument("--priority", choices=[priority.value for priority in Priority])
    request.add_argument("--deadline-s", type=float)
    request.add_argument("--reply-to")
    request.add_argument("--attribute", dest="attributes", action="append", type=_pair, metavar="KEY=VALUE")


_FIELDS = (
    "id", "output", "language", "languages", "task", "formats", "word_timestamps", "channels", "prompt", "hotwords",
    "speed", "priority", "deadline_s", "reply_to",
)  # fmt: skip


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(chosen, name) for name in _FIELDS if getattr(chosen, name) is not None}
    if chosen.clip:
        options["clip"] = {"start_s": chosen.clip[0], "end_s": chosen.clip[1]}
    if chosen.attributes:
        options["attributes"] = dict(chosen.attributes)
    return options


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, not {text!r}")
    return key, value


def _submit(chosen: argparse.Namespace) -> ExitCode:
    if not chosen.sources and not chosen.manifest:
        chosen.wrong("name a SOURCE, or a manifest by --from")

    from transcriber_worker.app import open_office
    from transcriber_worker.tools.submitting import Submitter

    settings = settings_of(chosen)
    with open_office(settings) as office:
        entries = _entries(chosen, office)
        submitter = Submitter(office.broker, office.records, office.places.rules, office.shelve, office.clock)
        sending = _Sending(submitter, chosen)
        submitted: list[Submitted] = []
        with _told(sending, chosen):
            for one in sending.run(entries, office):
                submitted += [one] if chosen.wait else []
        refused = sending.refused
        if submitted:
            from transcriber_worker.cli.display import wait_and_show

            refused += wait_and_show(office.records, submitted, office.clock)
    return ExitCode.JOB_FAILED if refused else ExitCode.OK


def _entries(chosen: argparse.Namespace, office: "Office") -> "Iterator[Entry]":
    from transcriber_worker.tools.backlog import Backlog, Named
    from transcriber_worker.tools.check_config import own_directories

    named = [*(Named(text) for text in chosen.sources), *_manifest(chosen.manifest)]
    if not named:
        raise RejectJob(Reason.INVALID_REQUEST, f"there is nothing in {chosen.manifest}")
    backlog = Backlog(office.store, office.places.rules, Path.cwd(), own_directories(office.settings))
    entries = backlog.entries(named, chosen.match)
    if not chosen.id:
        return entries
    only = list(entries)
    if len(only) > 1:
        raise RejectJob(Reason.INVALID_REQUEST, "--id names one request: submit one source at a time")
    return iter(only)


def _manifest(file: str | None) -> "list[Named]":
    from transcriber_worker.tools.backlog import read_manifest

    if file is None:
        return []
    name = "standard input" if file == "-" else file
    try:
        with nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8") as lines:
            return read_manifest(lines, name)
    except (OSError, UnicodeDecodeError) as error:
        raise RejectJob(Reason.INVALID_REQUEST, f"the manifest {name} can't be read: {error}") from None


@dataclass(slots=True)
class _Sending:
    """Sends entry by entry and counts what becomes of them."""

    submitter: "Submitter"
    chosen: argparse.Namespace
    sent: int = 0
    refused: int = 0
    before: Counter[str] = field(default_factory=Counter)
    """By state, those that had been sent before."""

    def run(self, entries: "Iterator[Entry]", office: "Office") -> "Iterator[Submitted]":
        from transcriber_worker.tools.backlog import pace
        from transcriber_worker.tools.submitting import Submitted

        options, wait = _options(self.chosen), pace(office.clock, self.chosen.rate)
        paid_for = 0  # a pause for each one sent, and none after the last
        wait()
        for entry in entries:
            if self.sent > paid_for:
                wait()
                paid_for = self.sent
            try:
                done = self._one(entry, {**options, **entry.options})
            except (RejectJob, BrokenRecord) as error:
                self.refused += 1
                why = f"{error.reason}: {error.message}" if isinstance(error, RejectJob) else str(error)
                sys.stderr.write(f"{redacted(entry.source.text)}: {why}\n")
                continue
            if isinstance(done, JobRecord):
                self.before[done.state] += 1
                continue
            self.sent += 1
            if isinstance(done, Submitted):
                yield done
            if self.sent == self.chosen.limit:
                return

    def _one(self, entry: "Entry", options: dict[str, Any]) -> "Submitted | JobRecord | None":
        """None: it would have been sent."""
        if self.chosen.dry_run:
            job = self.submitter.check(entry.source, options)
            sent_before = self.submitter.sent_before(job) if job is not None and self.chosen.once else None
            if sent_before is None:
                _show(job.id if job else _NO_ID_YET, job.name if job else printable(entry.source.name))
            return sent_before
        send = self.submitter.submit_once if self.chosen.once else self.submitter.submit
        done = send(entry.source, options)
        if not isinstance(done, JobRecord) and not self.chosen.wait:
            _show(done.job.id, done.job.name)
        return done

    def __str__(self) -> str:
        counts = [f"{self.sent} {'would be sent' if self.chosen.dry_run else 'sent'}"]
        if self.before:
            states = ", ".join(f"{count} {state}" for state, count in sorted(self.before.items()))
            counts.append(f"{self.before.total()} sent before ({states})")
        return ", ".join([*counts, *([f"{self.refused} refused"] if self.refused else [])])


def _show(job_id: str, name: str) -> None:
    sys.stdout.write(f"{job_id}  {name}\n")
    sys.stdout.flush()  # whoever is interrupted must be able to trust what stands there


@contextmanager
def _told(sending: _Sending, chosen: argparse.Namespace) -> Iterator[None]:
    """How far it is, where nobody sees the jobs' own lines; and the counts at the end, however it ends."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    many = any((chosen.manifest, chosen.once, chosen.limit, chosen.rate, chosen.dry_run, chosen.match)) or any(
        "://" in source and source.endswith("/") for source in chosen.sources
    )
    console = Console(stderr=True, markup=False, highlight=False)
    try:
        if many and console.is_terminal and not sys.stdout.isatty():
            with Live(get_renderable=lambda: Text(str(sending)), console=console, transient=True):
                yield
        else:
            yield
    finally:
        if many:
            sys.stderr.write(f"{sending}\n")
