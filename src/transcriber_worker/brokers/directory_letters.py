"""What leaves the spool: result events and dead letters, a file each."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from transcriber_worker.brokers.base import Letter
from transcriber_worker.brokers.directory_layout import Spool, spool_errors
from transcriber_worker.domain.clock import Clock

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,149}")
_PLAIN_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
"""Without dots, so that a folder never takes the place of an event's file."""


class DirectoryDeadLetters:
    """`DeadLetters` as dead/`<id>.json`; ids of up to some 80 characters of any kind, 200 of plain ones."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock

    def put(self, letter: Letter) -> None:
        with spool_errors():
            self._spool.write(self._path(letter.id), letter.body, modified_ns=int(self._clock.now() * 1_000_000_000))

    def get(self, letter_id: str) -> Letter | None:
        with spool_errors():
            return _read(letter_id, self._path(letter_id))

    def list(self) -> Iterator[Letter]:
        with spool_errors():
            dated = []
            for path in self._spool.dead.glob("*.json"):
                try:
                    dated.append((path.stat().st_mtime_ns, path))
                except FileNotFoundError:
                    continue  # resolved meanwhile
        for _, path in sorted(dated):
            with spool_errors():
                letter = _read(unquote(path.stem), path)
            if letter is not None:
                yield letter

    def resolve(self, letter_id: str) -> None:
        with spool_errors():
            self._path(letter_id).unlink(missing_ok=True)

    def _path(self, letter_id: str) -> Path:
        return self._spool.dead / f"{quote(letter_id, safe='')}.json"


def result_path(spool: Spool, event_id: str, reply_to: str | None) -> Path:
    """results/`<event id>.json`, in a folder `reply_to` where that is one plain name; anything else is ignored: the
    publisher is not trusted with paths."""
    name = event_id.replace(":", "-")
    if not _PLAIN_NAME.fullmatch(name):
        name = hashlib.sha256(event_id.encode()).hexdigest()
    folder = spool.results / reply_to if reply_to and _PLAIN_FOLDER.fullmatch(reply_to) else spool.results
    return folder / f"{name}.json"


def _read(letter_id: str, path: Path) -> Letter | None:
    try:
        return Letter(letter_id, path.read_bytes())
    except FileNotFoundError:
        return None
