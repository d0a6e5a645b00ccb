"""No recording and no request is lost, whenever the process that adopts it is killed or stopped.

An audit hook stands before every system call that changes the disk: there a worker dies, or waits.
"""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.brokers.directory_audio import LONGEST_NAME_BYTES, shelf_name
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.settings import DirectoryBrokerSettings

LEASE_S = 60.0
CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.utime")


class Killed(BaseException):
    """The process is gone: nothing it would still do happens."""


class _Hook(threading.local):
    before_change: Callable[[], None] | None = None


_hook = _Hook()


def _audit(event: str, _: tuple[object, ...]) -> None:
    if _hook.before_change is not None and event in CHANGES:
        _hook.before_change()


sys.addaudithook(_audit)


@contextmanager
def before_change(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` before this thread's change of that number, counted from 0, and before every later one."""
    changes = iter(range(10**9))

    def count() -> None:
        if next(changes) >= number:
            act()

    _hook.before_change = count
    try:
        yield
    finally:
        _hook.before_change = None


def _without_hook(act: Callable[[], Sequence[object]]) -> Sequence[object]:
    hook, _hook.before_change = _hook.before_change, None
    try:
        return act()
    finally:
        _hook.before_change = hook


def die() -> None:
    raise Killed


class Spool:
    """A spool in a new folder, its users and its workers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock(4_000_000_000.0)
        self.settings = DirectoryBrokerSettings(path=root, lease_s=LEASE_S)
        self.heard: list[bytes] = []
        """What the sources of the delivered requests held when they were delivered, and requests that name none."""
        self.connect()

    def connect(self) -> DirectoryBroker:
        return DirectoryBroker(self.settings, self.clock)

    def drop(self, name: str, body: bytes) -> None:
        path = self.root / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (self.clock.now() - 10.0,) * 2)

    def drain(self) -> None:
        """Another worker takes all there is, once every lease has ended."""
        self.clock.advance(LEASE_S + 1)
        broker = self.connect()
        while deliveries := broker.receive(3, 0.0):
            for delivery in deliveries:
                request = json.loads(delivery.message.body)
                source = ObjectUri.parse(request["source"]).path if "source" in request else None
                self.heard.append(source.read_bytes() if source else delivery.message.body)
                delivery.settle()

    def left(self) -> set[str]:
        """The folders that still hold something, but for what was accepted and unfinished files of the killed."""
        everything = (path.relative_to(self.root) for path in self.root.rglob("*"))
        return {path.parts[0] for path in everything if len(path.parts) > 1} - {"audio", "tmp", "inbox"}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


DROPPED = {
    "1.mp3": b"one",
    "a/b/2.wav": b"two",
    "a/3": b"three",
    "x" * 250 + ".mp3": b"four",
    "5.json": b'{"five": 5}',
    "a/6.json": b'{"six": 6}',
}


@settings(max_examples=150, deadline=None)
@given(kills=st.lists(st.integers(0, 70), max_size=4))
@example(kills=[])
def test_whenever_workers_are_killed_nothing_is_lost(kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        for name, body in DROPPED.items():
            spool.drop(name, body)

        for number in kills:
            with suppress(Killed), before_change(number, die):
                spool.connect().receive(4, 0.0)
            spool.clock.advance(LEASE_S + 1)
        spool.drain()

        assert sorted(set(spool.heard)) == sorted(DROPPED.values())
        assert spool.left() == set()


@pytest.mark.parametrize("number", range(30))
def test_a_kill_and_a_newer_recording_of_that_name_lose_neither(spool: Spool, number: int) -> None:
    """Between the kill and the recovery, somebody drops the next one."""
    spool.drop("call.mp3", b"older")
    with suppress(Killed), before_change(number, die):
        spool.connect().receive(1, 0.0)
    claimed = not (spool.root / "inbox" / "call.mp3").exists()

    spool.clock.advance(20.0)
    spool.drop("call.mp3", b"newer")
    assert spool.connect().receive(1, 0.0) is not None
    spool.drain()

    kept = {path.read_bytes() for path in (spool.root / "audio").iterdir()}
    assert b"newer" in kept
    assert b"newer" in spool.heard
    assert spool.left() == set()
    if claimed and b"older" in kept:
        assert b"older" in spool.heard


@pytest.mark.parametrize("drop_again", [False, True], ids=["", "and-another-of-that-name-appears"])
@pytest.mark.parametrize("number", range(30))
def test_a_stopped_worker_that_goes_on_loses_nothing(spool: Spool, number: int, *, drop_again: bool) -> None:
    """Stopped before any change for longer than a lease, while another finishes what it began."""
    spool.drop("calls/call.mp3", b"first")
    stopped, go_on = threading.Event(), threading.Event()

    def stop() -> None:
        stopped.set()
        assert go_on.wait(30)

    def work() -> None:
        with before_change(number, stop):
            spool.connect().receive(1, 0.0)
        stopped.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert stopped.wait(30)
    spool.drain()
    if drop_again:
        spool.drop("calls/call.mp3", b"second")
    go_on.set()
    worker.join()
    spool.drain()
    spool.drain()

    assert set(spool.heard) == ({b"first", b"second"} if drop_again else {b"first"})
    assert spool.left() == set()


def test_an_adoption_under_way_is_left_to_its_worker(spool: Spool) -> None:
    """From the claim on, and while it takes less than a lease, no other worker sees anything of it."""
    spool.drop("call.mp3", b"audio")
    other = spool.connect()
    received: list[int] = []

    def look() -> None:
        if not any((spool.root / "inbox").iterdir()) and any((spool.root / "adopting").iterdir()):
            spool.clock.advance(0.5)
            received.append(len(_without_hook(lambda: other.receive(1, 0.0))))

    with before_change(0, look):
        mine = spool.connect().receive(1, 0.0)

    assert len(mine) == 1
    assert len(received) > 5
    assert set(received) == {0}


@given(st.text(min_size=1).filter(lambda name: name.strip("/")))
def test_a_shelf_name_is_one_that_a_uri_and_a_transcript_can_carry(name: str) -> None:
    kept = shelf_name(name)

    assert len(kept.rpartition("/")[2].encode()) <= LONGEST_NAME_BYTES
    assert shelf_name(kept) == kept


@pytest.mark.parametrize("name", ["call.mp3", "a/b/ü ß.wav", "100%.mp3", "#1?.mp3", "x" * 240])
def test_an_ordinary_name_stays(name: str) -> None:
    assert shelf_name(name) == name
