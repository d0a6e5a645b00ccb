"""Dead letters: looking at them, and sending their messages again."""

import re
from collections.abc import Iterator
from contextlib import suppress

from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.storage.base import ObjectNotFound, ObjectStore

_LETTER_ID = re.compile(r"[0-9a-f]{32}")


class MessageGone(Exception):
    """A letter's message, which was kept beside it, is not there any more."""


def all_letters(broker: Broker) -> Iterator[DeadLetter]:
    """Every dead letter, oldest first; what is no letter of ours is passed over."""
    for letter in broker.dead_letters.list():
        try:
            yield DeadLetter.from_bytes(letter.body)
        except ValueError:
            continue


def find_letter(broker: Broker, id_: str) -> DeadLetter | None:
    """A letter by its job's id or by its request's, of several the oldest."""
    letter = broker.dead_letters.get(id_) if _LETTER_ID.fullmatch(id_) else None
    if letter is not None:
        with suppress(ValueError):  # what is no letter of ours is passed over here too
            return DeadLetter.from_bytes(letter.body)
    return next((found for found in all_letters(broker) if id_ and found.request_id == id_), None)


def redrive(broker: Broker, store: ObjectStore, letter: DeadLetter) -> str:
    """Publish a letter's message anew, with its attempts forgotten, then remove the letter. Returns the message's
    id; raises `MessageGone`. Stopped in between, the letter stays, and a job done twice has one transcript all the
    same."""
    message_id = broker.publish(_original_body(store, letter), letter.headers)
    # The message may have failed again already: that letter is a new one and stays.
    current = broker.dead_letters.get(letter.id)
    if current is not None and current.body == letter.to_bytes():
        broker.dead_letters.resolve(letter.id)
        if letter.body_uri is not None:
            store.delete(ObjectUri.parse(letter.body_uri))
    return message_id


def _original_body(store: ObjectStore, letter: DeadLetter) -> bytes:
    body = letter.original_body()
    if body is not None:
        return body
    try:
        return store.read(ObjectUri.parse(letter.body_uri or ""))[0]
    except (ObjectNotFound, InvalidUri):
        raise MessageGone(f"its message is no longer at {letter.body_uri}") from None
