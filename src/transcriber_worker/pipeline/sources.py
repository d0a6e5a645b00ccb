"""Whose fault it is when a source can't be had: the file's, its host's or bucket's, or that of our own access.

A job is charged with the first only. A host or bucket that is down is waited for, job by job, while others go on; what
is wrong with our own store or credentials pauses the intake.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri, redacted
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.settings import StorageSettings
from transcriber_worker.storage.base import ObjectInfo, ObjectNotFound, ObjectStore

_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 60.0
_DOUBT_WAIT_S = 30.0
_FORGOTTEN_S = 3600.0
"""A job's trouble that was not seen for this long is over: another worker may have had more luck."""
REMEMBERED = 10_000
"""Jobs of one prefix whose trouble is kept in mind."""


@dataclass(slots=True)
class _Trouble:
    """One job's with its own source, however well the host answers others."""

    since: float
    last: float
    wait_s: float = _FIRST_WAIT_S


@dataclass(slots=True)
class _Scope:
    """What is known of one allowed prefix: a host, a bucket, a directory."""

    prefix: ObjectUri
    down_since: float | None = None
    next_try: float = 0.0
    wait_s: float = _FIRST_WAIT_S
    good: ObjectUri | None = None
    """The last source that was there."""
    doubted: dict[str, float] = field(default_factory=dict)
    """Jobs in a row whose source was missing while nothing proved our access, and since when."""
    troubled: dict[str, _Trouble] = field(default_factory=dict)
    """Jobs whose source could not be had, by id; the one that was seen longest ago first."""

    def trouble_of(self, job: Job, now: float) -> _Trouble:
        """That job's, which has just been seen again."""
        trouble = self.troubled.pop(job.id, None)
        if trouble is None or now - trouble.last > _FORGOTTEN_S:
            trouble = _Trouble(now, now)
        trouble.last = now
        self.troubled[job.id] = trouble
        if len(self.troubled) > REMEMBERED:
            del self.troubled[next(iter(self.troubled))]
        return trouble


class Sources:
    """Looks at sources and downloads them. Thread-safe.

    `prefixes`: what requests may name. `state`: the worker's own prefix, which tells whether the store itself is well.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefixes: Sequence[ObjectUri],
        state: ObjectUri,
        settings: StorageSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._state = state
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._scopes = [_Scope(prefix) for prefix in sorted(prefixes, key=lambda prefix: -len(prefix.key))]

    @property
    def down(self) -> int:
        """How many hosts and buckets are being waited for."""
        return sum(scope.down_since is not None for scope in self._scopes)

    def look(self, job: Job) -> ObjectInfo:
        """The source as it is now. Raises `RejectJob` where it is missing, `RetryJob` (not charged) while its host or
        bucket is down or in doubt, `EnvironmentDown` where our own access is at fault."""
        scope = self._scope(job.source)
        self._wait_while_down(scope)
        try:
            info = self._store.head(job.source)
        except EnvironmentDown as error:
            raise self._outage(scope, job, error) from None
        except ObjectNotFound as error:
            raise self._missing(scope, job, error) from None
        self._answered(scope, job.source)
        return info

    def download(self, job: Job, path: Path, etag: str) -> None:
        """Fetch that version of the source into `path`. Raises as `look` does, and `ConditionFailed`."""
        scope = self._scope(job.source)
        try:
            self._store.download(job.source, path, etag=etag)
        except EnvironmentDown as error:
            raise self._outage(scope, job, error) from None
        except ObjectNotFound as error:
            raise self._missing(scope, job, error) from None
        self._answered(scope, job.source)
        with self._lock:
            scope.troubled.pop(job.id, None)

    def _scope(self, source: ObjectUri) -> _Scope:
        return next(scope for scope in self._scopes if scope.prefix.contains(source))

    def _wait_while_down(self, scope: _Scope) -> None:
        """One job at a time tries a host that is down; the others wait their turn."""
        with self._lock:
            now = self._clock.monotonic()
            if scope.down_since is None:
                return
            if now < scope.next_try:
                raise self._waiting(scope, scope.next_try - now)
            scope.next_try = now + scope.wait_s

    def _outage(self, scope: _Scope, job: Job, error: EnvironmentDown) -> Exception:
        """What an outage on the way to a source means."""
        if error.part is not PauseReason.STORAGE or not self._own_store_answers():
            return error
        with self._lock:
            now = self._clock.monotonic()
            if scope.down_since is None:
                scope.down_since, scope.wait_s = now, _FIRST_WAIT_S
                emit(events.SOURCE_DOWN, prefix=redacted(str(scope.prefix)), message=str(error))
            scope.next_try = now + scope.wait_s
            scope.wait_s = min(_LONGEST_WAIT_S, 2 * scope.wait_s)
            # A source that answers looks and never gives its bytes, or whose host answers all but this job, would
            # else be waited for without end: every answer ends the host's outage.
            trouble = scope.trouble_of(job, now)
            wait_s, trouble.wait_s = trouble.wait_s, min(_LONGEST_WAIT_S, 2 * trouble.wait_s)
            if now - min(scope.down_since, trouble.since) >= self._settings.source_patience_s:
                return RetryJob(f"the source, or its host or bucket, has been down for too long: {error}")
            return self._waiting(scope, max(wait_s, scope.next_try - now))

    @staticmethod
    def _waiting(scope: _Scope, delay_s: float) -> RetryJob:
        return RetryJob(f"{redacted(str(scope.prefix))} is down: waiting for it", delay_s, charged=False)

    def _own_store_answers(self) -> bool:
        try:
            self._store.head(self._state.child("jobs/none.json"))
        except ObjectNotFound:
            return True
        except (EnvironmentDown, RetryJob, RejectJob):
            return False
        return True

    def _answered(self, scope: _Scope, source: ObjectUri) -> None:
        with self._lock:
            scope.good = source
            scope.doubted.clear()
            since, scope.down_since = scope.down_since, None
        if since is not None:
            down_s = round(self._clock.monotonic() - since, 1)
            emit(events.SOURCE_UP, prefix=redacted(str(scope.prefix)), down_s=down_s)

    def _missing(self, scope: _Scope, job: Job, error: ObjectNotFound) -> Exception:
        """A store does not tell what is missing from what we may not see."""
        if scope.prefix.scheme == "https":  # whatever gives access is in the URL itself
            return RejectJob(Reason.SOURCE_NOT_FOUND, f"the source can't be had: {error}")
        missing = RejectJob(Reason.SOURCE_NOT_FOUND, "the source does not exist, or this worker may not see it")
        if self._access_is_proven(scope):
            return missing
        with self._lock:
            now = self._clock.monotonic()
            since = scope.doubted.setdefault(job.id, now)
            in_a_row = len(scope.doubted) >= self._settings.doubtful_sources
            patience_s = max(self._settings.doubt_s, self._settings.source_patience_s if in_a_row else 0.0)
            if now - since >= patience_s:
                del scope.doubted[job.id]
                return missing
            if in_a_row:
                return EnvironmentDown(_NO_ACCESS.format(len(scope.doubted), scope.prefix), PauseReason.CREDENTIALS)
        return RetryJob("the source is missing, or may not be seen", _DOUBT_WAIT_S, charged=False)

    def _access_is_proven(self, scope: _Scope) -> bool:
        """Whether we may list what lies below the prefix, or still see what was there before."""
        try:
            next(self._store.list(scope.prefix), None)
        except (EnvironmentDown, RetryJob, RejectJob, ObjectNotFound):
            pass
        else:
            return True
        if scope.good is None:
            return False
        try:
            self._store.head(scope.good)
        except (EnvironmentDown, RetryJob, RejectJob, ObjectNotFound):
            return False
        return True


_NO_ACCESS = (
    "the sources of {} jobs in a row are missing or may not be seen, and {} can't be listed: check the worker's "
    "policy; permission to list lets it tell a missing object from a missing permission"
)
