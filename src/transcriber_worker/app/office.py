"""Which broker and which stores: what every command works with. Each adapter is imported where it is chosen, so that
no command loads what it does not use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transcriber_worker.brokers.base import BacklogReader, Broker
from transcriber_worker.domain.clock import Clock, SystemClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline.places import Places
from transcriber_worker.pipeline.records import JobRecords
from transcriber_worker.pipeline.stored_letters import StoredLetters
from transcriber_worker.settings import BrokerKind, Settings
from transcriber_worker.storage.base import ObjectStore
from transcriber_worker.tools.uploading import Uploader

if TYPE_CHECKING:
    from transcriber_worker.observability.metrics import Metrics
    from transcriber_worker.oci_access.access import OciAccess

Shelve = Callable[[Path, str], ObjectUri]
"""Puts a local file where the worker may read it, under a name."""


@dataclass(frozen=True, slots=True)
class Office:
    """What every command works with: the broker, the store, the job records."""

    settings: Settings
    places: Places
    broker: Broker
    store: ObjectStore
    records: JobRecords
    shelve: Shelve | None
    """None where there is no place for local files."""
    clock: Clock
    metrics: Metrics


@contextmanager
def open_office(settings: Settings) -> Iterator[Office]:
    """Open the broker and the stores."""
    from prometheus_client import CollectorRegistry

    from transcriber_worker.observability.metrics import Metrics

    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    places = Places.of(settings)
    with ExitStack() as stack:
        access = _oci_access(settings, clock, stack)
        store = _store(settings, places, access, clock)
        broker, shelve = _broker(settings, places, store, access, clock, metrics)
        stack.callback(broker.close)
        if places.uploads is not None:
            shelve = Uploader(store, places.uploads)
        yield Office(settings, places, broker, store, JobRecords(store, places.state), shelve, clock, metrics)


def open_store_at(settings: Settings, place: ObjectUri, clock: Clock, stack: ExitStack) -> ObjectStore:
    """The store that a prefix lies in, for reading; closed by `stack`."""
    if place.scheme == "oci":
        from transcriber_worker.storage.object_storage import ObjectStorageStore

        return ObjectStorageStore(_oci_access(settings, clock, stack)(), clock, settings.storage.download_timeout_s)
    from transcriber_worker.storage.directory import DirectoryStore

    return DirectoryStore(clock, settings.storage.lock_timeout_s, [place])


@contextmanager
def open_backlog(settings: Settings) -> Iterator[BacklogReader]:
    """Open what tells how much is left to do, without taking part in it."""
    clock = SystemClock()
    with ExitStack() as stack:
        reader = _backlog(settings, clock, stack)
        stack.callback(reader.close)
        yield reader


def _oci_access(settings: Settings, clock: Clock, stack: ExitStack) -> Callable[[], OciAccess]:
    """Access to OCI for those who need it, made on first use."""
    made: list[OciAccess] = []

    def access() -> OciAccess:
        from transcriber_worker.oci_access.access import OciAccess

        if not made:
            made.append(OciAccess(settings.oci, clock))
            stack.callback(made[0].close)
        return made[0]

    return access


def _store(settings: Settings, places: Places, access: Callable[[], OciAccess], clock: Clock) -> ObjectStore:
    from transcriber_worker.storage.directory import DirectoryStore
    from transcriber_worker.storage.router import StoreRouter

    by_scheme = {scheme: [uri for uri in places.all if uri.scheme == scheme] for scheme in ("file", "oci", "https")}
    stores: dict[str, ObjectStore] = {
        "file": DirectoryStore(clock, settings.storage.lock_timeout_s, by_scheme["file"]),
    }
    if by_scheme["oci"]:
        from transcriber_worker.storage.object_storage import ObjectStorageStore

        stores["oci"] = ObjectStorageStore(access(), clock, settings.storage.download_timeout_s)
    if by_scheme["https"]:
        from transcriber_worker.storage.https import HttpsStore

        stores["https"] = HttpsStore(
            by_scheme["https"],
            settings.storage.https_timeout_s,
            clock,
            max_bytes=settings.storage.max_source_bytes,
            download_timeout_s=settings.storage.download_timeout_s,
        )
    return StoreRouter(stores)


def _broker(
    settings: Settings,
    places: Places,
    store: ObjectStore,
    access: Callable[[], OciAccess],
    clock: Clock,
    metrics: Metrics,
) -> tuple[Broker, Shelve | None]:
    chosen = settings.broker
    match chosen.kind:
        case BrokerKind.DIRECTORY:
            from transcriber_worker.brokers.directory import DirectoryBroker

            spool = DirectoryBroker(chosen.directory, clock)
            return spool, spool.place
        case BrokerKind.KAFKA:
            from transcriber_worker.brokers.kafka import KafkaBroker

            return KafkaBroker(chosen.kafka, clock, metrics), None
        case BrokerKind.OCI_QUEUE:
            from transcriber_worker.brokers.oci_queue import OciQueueBroker

            letters = StoredLetters(store, places.state)
            return OciQueueBroker(chosen.oci_queue, access(), letters, clock, metrics), None


def _backlog(settings: Settings, clock: Clock, stack: ExitStack) -> BacklogReader:
    chosen = settings.broker
    match chosen.kind:
        case BrokerKind.DIRECTORY:
            from transcriber_worker.brokers.directory_backlog import DirectoryBacklog

            return DirectoryBacklog(chosen.directory, clock)
        case BrokerKind.KAFKA:
            from transcriber_worker.brokers.kafka_backlog import KafkaBacklog

            return KafkaBacklog(chosen.kafka, clock)
        case BrokerKind.OCI_QUEUE:
            from transcriber_worker.brokers.oci_queue_backlog import OciQueueBacklog

            return OciQueueBacklog(chosen.oci_queue, _oci_access(settings, clock, stack)(), clock)
