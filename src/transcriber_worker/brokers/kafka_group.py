"""This worker's membership in its consumer group: partitions come and go, what is done of them is committed."""

import threading
from collections.abc import Collection, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.brokers.kafka_intake import Intake
from transcriber_worker.domain.clock import Clock
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

COMMIT_EVERY_S = 0.3
_ANSWER_S = 60.0
"""A commit without an answer for this long no longer holds up the next one."""
_WATERMARKS_S = 1.0


class Membership:
    """One consumer, from joining to leaving. Used by one thread at a time."""

    def __init__(
        self, settings: KafkaBrokerSettings, connection: Connection, intake: Intake, metrics: Metrics, clock: Clock
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._intake = intake
        self._metrics = metrics
        self._clock = clock
        self._paused: frozenset[int] = frozenset()
        self._starts: dict[int, int] = {}
        """Where partitions begin that had no place to begin at, until their first message."""
        self._astray: dict[int, int] = {}
        """Partitions whose next message is gone, and its offset."""
        self._commit_at = float("-inf")
        self._unanswered_until = float("-inf")
        self._abandoned = False
        self._consumer = connection.made(lambda: Consumer(self._properties()))
        self._consumer.subscribe(
            [settings.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def poll(self, timeout_s: float) -> Record | None:
        """The next message, or an error in its place. Callbacks run in here."""
        return self._consumer.poll(timeout_s)

    def started(self, partition: int) -> None:
        """A message of this partition has come."""
        self._starts.pop(partition, None)

    def keep_up(self) -> None:
        """Pause what is full and resume what has room; commit what is done; find what went astray."""
        self.pause_and_resume()
        now = self._clock.monotonic()
        if now >= self._commit_at and now >= self._unanswered_until:
            self._commit_at = now + COMMIT_EVERY_S
            self._commit_soon()
            self._find_astray()

    def pause_and_resume(self) -> None:
        wanted = self._intake.closed_partitions()
        if pausing := wanted - self._paused:
            self._consumer.pause(self._places(pausing))
        if resuming := self._paused - wanted:
            self._consumer.resume(self._places(resuming))
        self._paused = wanted

    def no_place_to_begin(self, partition: int, offset: int | None) -> None:
        """The offset to go on at is not in the log: there was no commit yet (None), or retention was faster."""
        begun = self._starts.get(partition)
        if offset is None or offset < 0:
            if begun is None:
                self._start_at(partition, OFFSET_BEGINNING)
        elif begun is None or offset >= begun:  # else it was said before the partition was given its place
            self._astray[partition] = offset
            self._find_astray()

    def put_out(self) -> None:
        """The group went on without us, which the client says before it takes the partitions away."""
        if not self._abandoned:
            self._gone("lost", frozenset(self._intake.positions()))

    def count(self) -> None:
        """Set the gauges, from what is known here."""
        positions = self._intake.positions()
        lag = 0
        for number, position in positions.items():
            _, end = self._consumer.get_watermark_offsets(self._place(number), cached=True)
            if position is not None and end > position:
                lag += end - position
        self._metrics.broker_partitions.set(len(positions))
        self._metrics.broker_lag_messages.set(lag)

    def leave(self) -> None:
        """Commit what is done and leave the group, so that others get the partitions at once."""
        try:
            self._commit_now(self._intake.positions())
            self._intake.revoke(self._intake.positions())
        finally:  # a client that is not closed keeps the process from ending
            self._consumer.close()

    def abandon(self) -> None:
        """Be done with a client that is of no more use. Its own leave-taking may last as long as nobody answers it, or
        for ever, and whoever polls must go on: so it takes place elsewhere, and what it still calls changes nothing."""
        self._abandoned = True
        self._intake.revoke(self._intake.positions())
        threading.Thread(target=self._consumer.close, name="kafka-leave", daemon=True).start()

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        session_ms = int(settings.session_timeout_s * 1000)
        named = {"group_instance_id": settings.group_instance_id} if settings.group_instance_id else {}
        return self._connection.properties(
            group_id=settings.group,
            group_protocol="classic",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3000, session_ms // 3),
            max_poll_interval_ms=max(session_ms, int(settings.max_poll_interval_s * 1000)),
            partition_assignment_strategy=settings.assignment,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="error",  # so that what retention took is noticed; then it is the earliest
            allow_auto_create_topics=False,
            on_commit=self._commit_answered,
            error_cb=self._failed,
            # What the client fetches ahead of `max_buffered` is memory too.
            queued_min_messages=settings.max_buffered,
            queued_max_messages_kbytes=16 * 1024,
            fetch_queue_backoff_ms=10,
            **named,
        )

    def _failed(self, error: KafkaError) -> None:
        if not self._abandoned:  # the next client may do better
            self._connection.failed(error)

    def _assigned(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._abandoned:
            return
        numbers = frozenset(place.partition for place in partitions)
        self._intake.assign(numbers)
        self._paused -= numbers
        self._rebalanced("assigned", numbers)
        self._connection.well()

    def _revoked(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._abandoned:
            return
        numbers = frozenset(place.partition for place in partitions)
        self._commit_now(numbers)
        self._gone("revoked", numbers)

    def _lost(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._gone("lost", frozenset(place.partition for place in partitions))

    def _gone(self, how: str, numbers: frozenset[int]) -> None:
        self._intake.revoke(numbers)
        if resuming := self._paused & numbers:  # the client would remember it should they come back, and never fetch
            self._consumer.resume(self._places(resuming))
        self._paused -= numbers
        for number in numbers:
            self._starts.pop(number, None)
            self._astray.pop(number, None)
        self._rebalanced(how, numbers)

    def _rebalanced(self, how: str, numbers: frozenset[int]) -> None:
        self._metrics.broker_rebalances.inc()
        self._metrics.broker_partitions.set(len(self._intake.positions()))
        emit(events.BROKER_PARTITIONS, message=f"{how}: {sorted(numbers)}")

    def _commit_soon(self) -> None:
        offsets = self._intake.commits()
        if offsets:
            self._unanswered_until = self._clock.monotonic() + _ANSWER_S
            try:
                self._consumer.commit(offsets=self._offsets(offsets), asynchronous=True)
            except KafkaException as error:
                self._unanswered_until = float("-inf")
                self._commit_failed(error.args[0])

    def _commit_answered(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        self._unanswered_until = float("-inf")
        if error is not None:
            self._commit_failed(error)
            return
        for place in places:
            if place.error is not None:
                self._commit_failed(place.error)
            else:
                self._intake.committed({place.partition: place.offset})

    def _commit_now(self, partitions: Collection[int]) -> None:
        offsets = {number: offset for number, offset in self._intake.commits().items() if number in partitions}
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=self._offsets(offsets), asynchronous=False)
            self._intake.committed(offsets)
        except KafkaException as error:  # the new owner does again what is done; the jobs' records tell it so
            self._commit_failed(error.args[0])

    def _commit_failed(self, error: KafkaError) -> None:
        self._metrics.broker_commit_failures.inc()
        self._connection.tell(error.name(), f"commit failed: {error.str()}")

    def _find_astray(self) -> None:
        for number, offset in list(self._astray.items()):
            try:
                first, _ = self._consumer.get_watermark_offsets(self._place(number), timeout=_WATERMARKS_S)
            except KafkaException as error:
                self._connection.failed(error.args[0])
                return
            del self._astray[number]
            self._tell_of_loss(number, first - offset)
            self._intake.restart(number, first)
            self._start_at(number, first)

    def _tell_of_loss(self, number: int, lost: int) -> None:
        origin = f"kafka:{self._settings.topic}/{number}"
        if lost > 0:
            self._metrics.broker_lost_messages.inc(lost)
            text = "retention removed messages that nobody had read: raise it, or add workers"
            emit(events.BROKER_MESSAGES_LOST, origin=origin, messages=lost, message=text)
        else:
            self._connection.tell("OFFSET_OUT_OF_RANGE", f"{origin} ends before what was committed: read anew")

    def _start_at(self, partition: int, offset: int) -> None:
        self._starts[partition] = offset
        if self._paused:  # the client would remember it, and never fetch
            self._consumer.resume(self._places(self._paused))
        if self._settings.assignment == "cooperative-sticky":
            place = [self._place(partition, offset)]
            self._consumer.incremental_unassign(place)
            self._consumer.incremental_assign(place)
        else:  # this kind of group knows only whole assignments
            self._consumer.assign(
                [
                    self._place(place.partition, self._starts.get(place.partition, max(place.offset, OFFSET_INVALID)))
                    for place in self._consumer.position(self._consumer.assignment())
                ]
            )
        self._paused = frozenset()

    def _place(self, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition, offset)

    def _places(self, partitions: Collection[int]) -> list[TopicPartition]:
        return [self._place(number) for number in partitions]

    def _offsets(self, offsets: dict[int, int]) -> list[TopicPartition]:
        return [self._place(number, offset) for number, offset in offsets.items()]
