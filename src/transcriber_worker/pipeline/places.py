"""Where things lie, from the settings: outputs, job records, and what publishers may name."""

from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.messages.request import RequestRules
from transcriber_worker.settings import BrokerKind, Settings


@dataclass(frozen=True, slots=True)
class Places:
    """All prefixes."""

    output: ObjectUri
    state: ObjectUri
    uploads: ObjectUri | None
    rules: RequestRules

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        """Raises `InvalidUri` for a prefix that is none."""
        storage = settings.storage
        output = prefix(storage.output)
        state = prefix(storage.state) if storage.state else output.child(".state/")
        uploads = prefix(storage.uploads) if storage.uploads else None
        sources = [*([uploads] if uploads else []), *(prefix(text) for text in storage.allowed_sources)]
        if settings.broker.kind is BrokerKind.DIRECTORY:
            # The broker resolves its symlinks too: both must call a recording by one name.
            sources.append(ObjectUri.from_path(settings.broker.directory.path.resolve() / "audio", prefix=True))
        outputs = [output, *(prefix(text) for text in storage.allowed_outputs)]
        private = [state]
        if settings.broker.kind is BrokerKind.DIRECTORY:
            private += [
                ObjectUri.from_path(path, prefix=True)
                for path in {settings.broker.directory.path.absolute(), settings.broker.directory.path.resolve()}
            ]
        return cls(output, state, uploads, RequestRules(tuple(sources), tuple(outputs), tuple(private)))

    @property
    def all(self) -> tuple[ObjectUri, ...]:
        return (*self.rules.outputs, self.state, *self.rules.sources)


def prefix(text: str) -> ObjectUri:
    """A prefix from a setting: a URI, or the path of a directory."""
    if "://" not in text:
        if not text:
            raise InvalidUri("the path is empty")
        return ObjectUri.from_path(Path(text).expanduser(), prefix=True)
    return ObjectUri.parse(text if text.endswith("/") else text + "/")
