"""How much waits in an OCI queue, for whoever scales the workers."""

from oci.queue.models import QueueStats, Stats

from transcriber_worker.brokers.base import Backlog
from transcriber_worker.brokers.oci_queue_calls import OciQueue
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciQueueBrokerSettings


class OciQueueBacklog:
    """A `BacklogReader` by GetStats, whose figures are about a second old; of one channel where one is set."""

    def __init__(self, settings: OciQueueBrokerSettings, access: OciAccess, clock: Clock) -> None:
        self._channel = settings.channel
        self._queue = OciQueue(access, settings.queue_id, settings.endpoint, settings.admin_endpoint, clock)

    def read(self) -> Backlog:
        stats: QueueStats | None = self._queue.stats(self._channel)
        if stats is None or not isinstance(stats.queue, Stats):
            raise EnvironmentDown(f"queue {self._queue.name} tells no figures", PauseReason.BROKER)
        dead = stats.dlq
        return Backlog(
            waiting=stats.queue.visible_messages,
            in_flight=stats.queue.in_flight_messages,
            dead_letters=dead.visible_messages + dead.in_flight_messages if dead is not None else None,
        )

    def close(self) -> None:
        """Nothing is held."""
