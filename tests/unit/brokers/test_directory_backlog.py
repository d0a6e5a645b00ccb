"""What a spool's backlog counts, whatever state its messages are in, and that nothing is touched by counting."""

from pathlib import Path

import pytest

from tests.builders import make_settings
from transcriber_worker.brokers.base import Backlog, Letter
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.brokers.directory_backlog import DirectoryBacklog
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.settings import DirectoryBrokerSettings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def settings(tmp_path: Path) -> DirectoryBrokerSettings:
    return make_settings(tmp_path, broker={"directory": {"lease_s": 60.0}}).broker.directory


@pytest.fixture
def broker(settings: DirectoryBrokerSettings, clock: ManualClock) -> DirectoryBroker:
    return DirectoryBroker(settings, clock)


@pytest.fixture
def backlog(settings: DirectoryBrokerSettings, clock: ManualClock) -> DirectoryBacklog:
    return DirectoryBacklog(settings, clock)


def test_a_message_counts_from_its_publication_until_it_is_settled(
    broker: DirectoryBroker, backlog: DirectoryBacklog, clock: ManualClock
) -> None:
    assert backlog.read() == Backlog(waiting=0, in_flight=0)
    for _ in range(3):
        broker.publish(b"{}", {})
    assert backlog.read() == Backlog(waiting=3, in_flight=0)

    first, second = broker.receive(2, 0.0)
    assert backlog.read() == Backlog(waiting=1, in_flight=2)
    first.give_back(900.0)
    assert backlog.read() == Backlog(waiting=2, in_flight=1)
    second.settle()
    assert backlog.read() == Backlog(waiting=2, in_flight=0)


def test_what_a_dead_worker_held_waits_again(
    broker: DirectoryBroker, backlog: DirectoryBacklog, clock: ManualClock
) -> None:
    broker.publish(b"{}", {})
    broker.receive(1, 0.0)

    clock.advance(61)

    assert backlog.read() == Backlog(waiting=1, in_flight=0)


def test_what_people_drop_counts_and_letters_do_not(
    broker: DirectoryBroker, backlog: DirectoryBacklog, settings: DirectoryBrokerSettings, clock: ManualClock
) -> None:
    clock.advance(1e9)  # past the files' own times
    (settings.path / "inbox" / "call.wav").write_bytes(b"speech")
    (settings.path / "inbox" / "unfinished.wav.part").write_bytes(b"spee")
    broker.dead_letters.put(Letter("a", b"{}"))

    assert backlog.read() == Backlog(waiting=1, in_flight=0)
    assert broker.dead_letters.get("a") is not None
    assert len(broker.receive(5, 0.0)) == 1


def test_a_spool_that_is_not_there_is_unknown_and_not_made(
    backlog: DirectoryBacklog, settings: DirectoryBrokerSettings
) -> None:
    with pytest.raises(EnvironmentDown) as down:
        backlog.read()
    assert down.value.part is PauseReason.BROKER
    assert not settings.path.exists()
