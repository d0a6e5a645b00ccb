"""Queues on the emulator, and workers' connections to them, for tests of several folders."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.oci_emulator.client import Emulator
from transcriber_worker.brokers.base import Broker
from transcriber_worker.brokers.oci_queue import OciQueueBroker
from transcriber_worker.domain.clock import Clock, ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.pipeline.stored_letters import StoredLetters
from transcriber_worker.settings import OciAuth, OciQueueBrokerSettings, OciSettings
from transcriber_worker.storage.directory import DirectoryStore

_numbers = itertools.count()


class OciQueueHarness:
    """A `BrokerHarness`: a queue of its own on a shared emulator, with a queue for results beside it. Its clock is the
    workers'; `pass_time` moves it and the emulator's together. `config`: of the queue, as in `QueueConfig`."""

    lease_s = 60.0
    patience_s = 0.0

    def __init__(self, emu: Emulator, sdk_config: Path, folder: Path, **config: int) -> None:
        self.emu = emu
        self.clock: Clock = ManualClock()
        self.oci = OciSettings(auth=OciAuth.API_KEY, config_file=sdk_config)
        number = next(_numbers)
        self.queue_id = emu.create_queue(f"jobs{number}", **{"dead_letter_count": 5, **config})
        self.results_id = emu.create_queue(f"results{number}")
        self.metrics = Metrics(CollectorRegistry())
        self._state = ObjectUri.from_path(folder / "state", prefix=True)

    def settings(self, **changes: Any) -> OciQueueBrokerSettings:
        return OciQueueBrokerSettings(
            **{
                "queue_id": self.queue_id,
                "admin_endpoint": self.emu.url,
                "results_queue_id": self.results_id,
                "lease_s": self.lease_s,
                **changes,
            }
        )

    def connect(self, **changes: Any) -> OciQueueBroker:
        """`changes`: of the broker's settings."""
        letters = StoredLetters(DirectoryStore(self.clock, 1.0, [self._state]), self._state)
        return OciQueueBroker(
            self.settings(**changes), OciAccess(self.oci, self.clock), letters, self.clock, self.metrics
        )

    def lapse(self, worker: Broker) -> None:
        self.pass_time(self.lease_s + 1)

    def abandon(self, worker: Broker) -> None:
        """A worker is nothing but the receipts it has."""

    def pass_time(self, seconds: float) -> None:
        self.emu.advance(seconds)
        if isinstance(self.clock, ManualClock):
            self.clock.advance(seconds)

    def results(self) -> Sequence[bytes]:
        """The service knows no event ids: they are in the events. What has none is its own."""
        contents = [message["content"] for message in self.stored(self.results_id)]
        by_id = {json.loads(content).get("id", content): content for content in contents}
        return [content.encode() for content in by_id.values()]

    def stored(self, queue_id: str | None = None) -> list[dict[str, Any]]:
        """All there is in a queue, fields of `queue_model.Stored`; default: the queue of requests."""
        return list(self.emu.dump()["queues"][queue_id or self.queue_id])

    def dead(self) -> int:
        """How many messages the service has put aside."""
        return sum(message["dead"] for message in self.stored())

    def republished(self) -> float:
        """What the workers have counted as published anew."""
        return self.metrics.registry.get_sample_value("transcriber_broker_republished_total") or 0.0
