"""A whole backlog of requests: out of folders, prefixes of a store and manifests; in its order, paced, as often as it
takes."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import InvalidUri, ObjectUri, redacted
from transcriber_worker.messages.request import RequestRules, validate_request
from transcriber_worker.storage.base import ObjectStore
from transcriber_worker.tools.submitting import Source, find_sources, refuse_collisions

_BYTE_ORDER_MARK = "\ufeff"
"""What some editors begin a text file with."""


@dataclass(frozen=True, slots=True)
class Named:
    """What somebody named: a URI, a prefix, a file or a folder, and the options of its own requests."""

    text: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request to come. `options` go before those of the whole backlog."""

    source: Source
    options: Mapping[str, Any]


def read_manifest(lines: Iterable[str], name: str) -> list[Named]:
    """A source a line, or a request as a JSON object; empty lines count for nothing. `name`: of the manifest. Raises
    `RejectJob` that names the first line that is wrong, so that half a manifest is never sent."""
    found: list[Named] = []
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK).strip()
        if not text:
            continue
        try:
            found.append(_request(text) if text.startswith("{") else Named(text))
        except (RejectJob, RetryJob) as error:
            raise RejectJob(Reason.INVALID_REQUEST, f"line {number} of {name}: {error.message}") from None
    return found


def _request(text: str) -> Named:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise RejectJob(Reason.INVALID_REQUEST, f"no JSON: {error}") from None
    validate_request(fields)
    return Named(fields.pop("source"), fields)


class Backlog:
    """Finds the sources. `base`: the current directory; `hidden`: folders of the worker's own."""

    def __init__(self, store: ObjectStore, rules: RequestRules, base: Path, hidden: Sequence[Path]) -> None:
        self._store = store
        self._rules = rules
        self._base = base
        self._hidden = hidden

    def entries(self, named: Sequence[Named], match: str | None = None) -> Iterator[Entry]:
        """Local files at once, so that nothing is sent where two would get one name; what lies below a prefix as it is
        listed. `match`: a pattern for names, such as `*.mp3`; what was named by itself is not held against it.

        Raises `RejectJob` for a folder or prefix without files, and for a prefix that workers may not read.
        """
        local = [(one, self._local(one, match)) for one in named if not _is_prefix(one.text)]
        refuse_collisions(source for _, sources in local for source in sources)
        seen: set[str] = set()
        for one, sources in (*local, *((one, self._listed(one, match)) for one in named if _is_prefix(one.text))):
            for source in sources:
                request = f"{source.text} {json.dumps(one.options, sort_keys=True)}"
                if request not in seen:
                    seen.add(request)
                    yield Entry(source, one.options)

    def _local(self, one: Named, match: str | None) -> Sequence[Source]:
        sources = find_sources([one.text], self._base, self._hidden)
        if match is None or not (self._base / one.text).is_dir():
            return sources
        return _some([source for source in sources if fnmatchcase(source.name, match)], one.text, match)

    def _listed(self, one: Named, match: str | None) -> Iterator[Source]:
        prefix, empty = self._readable(one.text), True
        inner = [place for place in (*self._rules.outputs, *self._rules.private) if _inside(prefix, place)]
        for uri in self._store.list(prefix):
            own = any(place.contains(uri) for place in inner)
            if not own and (match is None or fnmatchcase(prefix.relative(uri), match)):
                empty = False
                yield Source(str(uri))
        if empty:
            _some([], one.text, match)

    def _readable(self, text: str) -> ObjectUri:
        try:
            prefix = ObjectUri.parse(text)
        except InvalidUri as error:
            raise RejectJob(Reason.INVALID_REQUEST, f"source: {error}") from None
        if prefix.scheme == "https":
            raise RejectJob(Reason.INVALID_REQUEST, f"{redacted(text)} can't be listed: name each file")
        if not any(allowed.contains(prefix) for allowed in self._rules.sources):
            message = f"source {redacted(text)} is not below any prefix of storage.allowed_sources"
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, message)
        return prefix


def _is_prefix(text: str) -> bool:
    return "://" in text and text.endswith("/")


def _inside(prefix: ObjectUri, place: ObjectUri) -> bool:
    """Whether a place of the workers' own lies within what is listed, and is not all of it."""
    return prefix.contains(place) and place != prefix


def _some(sources: Sequence[Source], text: str, match: str | None) -> Sequence[Source]:
    if not sources:
        which = f" that match {match}" if match is not None else ""
        raise RejectJob(Reason.SOURCE_NOT_FOUND, f"there are no files{which} in {redacted(text)}")
    return sources


def pace(clock: Clock, rate_per_s: float | None, stop: threading.Event | None = None) -> Callable[[], None]:
    """Waits, so that it returns `rate_per_s` times a second at most; None: at once. `stop` ends every wait."""
    over = stop or threading.Event()
    due_at = clock.monotonic()

    def wait() -> None:
        nonlocal due_at
        if rate_per_s is None:
            return
        clock.wait(over, due_at - clock.monotonic())
        # Time lost to a slow service is not caught up with: the rate is what the other side can bear.
        due_at = max(due_at, clock.monotonic()) + 1 / rate_per_s

    return wait
