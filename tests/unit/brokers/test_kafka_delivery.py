"""One message of Kafka with a job, and how it ends."""

from tests.unit.brokers.test_kafka_intake import Desk, parcel
from transcriber_worker.brokers.base import Message
from transcriber_worker.brokers.kafka_delivery import KafkaDelivery, Republish
from transcriber_worker.domain.errors import EnvironmentDown

HOLD_S = 60.0


def delivery(desk: Desk, republish: Republish) -> KafkaDelivery:
    desk.fetch(parcel(0))
    (taken,) = desk.intake.take(1)
    return KafkaDelivery(taken, desk.intake, HOLD_S, republish)


def published(message: Message, delay_s: float) -> bool:
    return True


def too_large(message: Message, delay_s: float) -> bool:
    return False


def down(message: Message, delay_s: float) -> bool:
    raise EnvironmentDown("no broker answers")


def test_a_long_delay_ends_the_message_in_favour_of_its_copy() -> None:
    desk = Desk()

    delivery(desk, published).give_back(90.0)

    assert desk.intake.commits() == {0: 1}


def test_what_can_t_be_published_anew_waits_here_for_as_long() -> None:
    """Nobody holds on to it any more: left open it would hold up its partition for ever."""
    for republish in (too_large, down):
        desk = Desk()

        delivery(desk, republish).give_back(90.0)

        desk.pass_time(89.0)
        assert desk.offsets() == []
        desk.pass_time(1.0)
        assert desk.offsets() == [0]
        assert desk.intake.commits() == {}
