"""Dead letters: looking at them, and sending their messages again."""

from collections.abc import Iterator

from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.storage.base import ObjectStore


def all_letters(broker: Broker) -> Iterator[DeadLetter]:
    """Every dead letter, oldest first; what is no letter of ours is passed over."""
    for letter in broker.dead_letters.list():
        try:
            yield DeadLetter.from_bytes(letter.body)
        except ValueError:
            continue


def find_letter(broker: Broker, id_: str) -> DeadLetter | None:
    """A letter by its job's id or by its request's."""
    letter = broker.dead_letters.get(id_)
    if letter is not None:
        return DeadLetter.from_bytes(letter.body)
    return next((found for found in all_letters(broker) if found.request_id == id_), None)


def redrive(broker: Broker, store: ObjectStore, letter: DeadLetter) -> str:
    """Publish a letter's message anew, with its attempts forgotten, then remove the letter. Returns the message's
    id. Stopped in between, the letter stays, and a job done twice has one transcript all the same."""
    body = letter.original_body()
    if body is None:
        body = store.read(ObjectUri.parse(letter.body_uri or ""))[0]
    message_id = broker.publish(body, letter.headers)
    broker.dead_letters.resolve(letter.id)
    return message_id
