"""Dead letters in the worker's private state prefix, for brokers that have no place of their own for them."""

from collections.abc import Iterator
from urllib.parse import quote, unquote

from transcriber_worker.brokers.base import Letter
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline.records import our_own
from transcriber_worker.storage.base import ObjectNotFound, ObjectStore


class StoredLetters:
    """`DeadLetters` as `letters/<id>.json` below the state prefix. Thread-safe, as the store is."""

    def __init__(self, store: ObjectStore, state: ObjectUri) -> None:
        self._store = store
        self._prefix = state.child("letters/")

    def put(self, letter: Letter) -> None:
        with our_own():
            self._store.write(self._uri(letter.id), letter.body, "application/json")

    def get(self, letter_id: str) -> Letter | None:
        found = self._read(self._uri(letter_id))
        return found[1] if found else None

    def list(self) -> Iterator[Letter]:
        with our_own():
            uris = list(self._store.list(self._prefix))
        dated = [found for uri in uris if (found := self._read(uri)) is not None]
        for _, letter in sorted(dated, key=lambda found: found[0]):
            yield letter

    def resolve(self, letter_id: str) -> None:
        with our_own():
            self._store.delete(self._uri(letter_id))

    def _uri(self, letter_id: str) -> ObjectUri:
        return self._prefix.child(f"{quote(letter_id, safe='')}.json")

    def _read(self, uri: ObjectUri) -> tuple[float, Letter] | None:
        """When it was written, and the letter; None where there is none."""
        try:
            with our_own():
                body, info = self._store.read(uri)
        except ObjectNotFound:
            return None
        return info.modified_at, Letter(unquote(uri.basename.removesuffix(".json")), body)
