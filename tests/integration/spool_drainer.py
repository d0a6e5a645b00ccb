"""A worker process on a spool that does no work: `python -m tests.integration.spool_drainer SPOOL LEASE_S SEED`.

It prints a line `EVENT BODY NANOSECONDS` for each message: `got`; `held`, when a renewal right after that moment
succeeded, so that it was its holder all the time; `settled` or `returned`. It ends when it finds nothing for a while.
"""

import json
import random
import sys
import time
from pathlib import Path

from transcriber_worker.brokers.base import Delivery
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import LeaseLost
from transcriber_worker.settings import DirectoryBrokerSettings


def main() -> None:
    path, lease_s, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    broker = DirectoryBroker(
        DirectoryBrokerSettings(path=path, lease_s=lease_s, settle_s=0, poll_s=0.02), SystemClock()
    )
    while deliveries := list(broker.receive(chance.randint(1, 8), wait_s=0.5)):
        for delivery in deliveries:
            tell("got", delivery, time.monotonic_ns())
        chance.shuffle(deliveries)
        for delivery in deliveries:
            finish(delivery, returns=chance.random() < 0.1)


def finish(delivery: Delivery, *, returns: bool) -> None:
    still_held_at = time.monotonic_ns()
    try:
        delivery.extend()
    except LeaseLost:
        return
    tell("held", delivery, still_held_at)
    if returns:
        delivery.give_back()
    else:
        delivery.settle()
    tell("returned" if returns else "settled", delivery, time.monotonic_ns())


def tell(event: str, delivery: Delivery, at_ns: int) -> None:
    source = Path(json.loads(delivery.message.body)["source"]).name
    sys.stdout.write(f"{event} {source} {at_ns}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
