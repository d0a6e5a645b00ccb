"""What a deployment stands on: a broker and a store, with what the tests must know of them that no worker tells."""

import ctypes
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePath
from random import Random
from typing import Any, Protocol

from transcriber_worker.app import Office
from transcriber_worker.domain.uri import ObjectUri

_HERE, _EXCHANGE = -100, 2
"""Of renameat2(2): AT_FDCWD, RENAME_EXCHANGE."""
Fields = dict[str, dict[str, Any]]


class Server(Protocol):
    """A dependency that can die and come back, with everything that it had confirmed."""

    def kill(self) -> None: ...

    def restart(self) -> None:
        """Returns when it answers."""
        ...


@contextmanager
def dead(server: Server) -> Iterator[None]:
    """It dies, and after the block it is back."""
    server.kill()
    try:
        yield
    finally:
        server.restart()


class Stack(Protocol):
    """One deployment's broker and store. What it tells, it reads past the product's own adapters where it can."""

    name: str
    modules: Sequence[str]
    """What its workers import beside the ordinary."""
    lease_s: float
    """After which what a dead or stopped worker had is surely somebody else's."""
    broker: Server
    store: Server
    """May be the same server as `broker`."""

    def fields(self) -> Fields:
        """The settings by which workers find it."""
        ...

    def shelve(self, office: Office, recording: Path, name: str) -> ObjectUri:
        """Put a recording where workers may read it."""
        ...

    def left(self) -> Sequence[PurePath]:
        """Whatever is neither settled nor dead, each as `<place>/<message>`. An empty answer is the truth."""
        ...

    def results(self) -> list[dict[str, Any]]:
        """The result events so far, as often as they were announced."""
        ...

    def outputs(self) -> dict[str, bytes]:
        """Every output by its name below the output prefix; private files left out."""
        ...

    def mischief(self, rng: Random) -> AbstractContextManager[str]:
        """Something that goes wrong between a worker and its servers until the block ends. Gives its name, or an empty
        one where there is nothing that could."""
        ...

    def refused(self) -> AbstractContextManager[None] | None:
        """Credentials are refused until the block ends; None where there are none."""
        ...


class Folder:
    """A directory as a server: while it is down, a file stands in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside = path.with_name(f"{path.name}.aside")

    def kill(self) -> None:
        self.path.mkdir(exist_ok=True)
        self._aside.write_bytes(b"not a folder")
        self._exchange()

    def restart(self) -> None:
        self._exchange()
        self._aside.unlink()

    def _exchange(self) -> None:
        """At once: between two renames a worker would make a new folder, and what it wrote there would be lost."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_HERE, bytes(self.path), _HERE, bytes(self._aside), _EXCHANGE):
            raise OSError(ctypes.get_errno(), f"can't exchange {self.path}")


class DirectoryStack:
    """Spool and transcripts below one folder."""

    name = "directory"
    modules: Sequence[str] = ()

    def __init__(self, root: Path, lease_s: float, broker: Mapping[str, Any]) -> None:
        self.spool = root / "spool"
        self.transcripts = root / "transcripts"
        self.lease_s = lease_s
        self.broker: Server = Folder(self.spool)
        self.store: Server = Folder(self.transcripts)
        self._broker_fields = broker

    def fields(self) -> Fields:
        spool = {"path": str(self.spool), "settle_s": 0.0, "lease_s": self.lease_s, "poll_s": 0.05}
        return {"broker": {"directory": {**spool, **self._broker_fields}}}

    def shelve(self, office: Office, recording: Path, name: str) -> ObjectUri:
        assert office.shelve is not None
        return office.shelve(recording, name)

    def left(self) -> Sequence[Path]:
        folders = ("inbox", "leased", "delayed", "adopting")
        return [path for folder in folders for path in (self.spool / folder).iterdir()]

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted((self.spool / "results").rglob("*.json"))]

    def outputs(self) -> dict[str, bytes]:
        below = {path: path.relative_to(self.transcripts) for path in self.transcripts.rglob("*") if path.is_file()}
        return {str(name): path.read_bytes() for path, name in below.items() if not str(name).startswith(".")
                and ".writing" not in name.parts}  # fmt: skip

    @contextmanager
    def mischief(self, rng: Random) -> Iterator[str]:
        yield ""  # nothing lies between a worker and its folders

    def refused(self) -> None:
        return None
