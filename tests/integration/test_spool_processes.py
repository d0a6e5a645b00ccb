"""Several real worker processes share one spool, and one of them is killed."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.settings import DirectoryBrokerSettings

LEASE_S = 60.0
"""Longer than any pause of a busy machine, so that no lease ends while its holder lives."""
PUBLISHED, DROPPED_REQUESTS, DROPPED_RECORDINGS = 200, 50, 50


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_processes_share_300_messages_and_a_kill_loses_none(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    settings = DirectoryBrokerSettings(path=tmp_path / "spool", lease_s=LEASE_S, settle_s=0)
    everything = _fill(settings)

    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    with _started(settings, seed, subprocess.PIPE) as victim, ExitStack() as stack:
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(chance.randint(1, 20))]
        files = [stack.enter_context(log.open("wb")) for log in logs]
        others = [stack.enter_context(_started(settings, seed + n, file)) for n, file in enumerate(files, start=1)]
        lines += [victim.stdout.readline() for _ in range(chance.randint(1, 40))]
        victim.send_signal(signal.SIGKILL)
        lines += victim.stdout.read().splitlines(keepends=True)

    assert victim.returncode == -signal.SIGKILL
    assert [other.returncode for other in others] == [0, 0]
    events = [_parsed(lines), *(_parsed(log.read_bytes().splitlines(keepends=True)) for log in logs)]
    settled = [name for worker in events for event, name, _ in worker if event == "settled"]
    recovered = _drain_after_leases(settings)
    assert everything - set(settled) - set(recovered) <= _settled_untold(events[0])
    assert len(settled) == len(set(settled))
    assert set(settled).isdisjoint(recovered)
    assert _held_twice_at_once(events) == []


def _fill(settings: DirectoryBrokerSettings) -> set[str]:
    broker = DirectoryBroker(settings, SystemClock())
    inbox = settings.path / "inbox"
    names = [f"message-{n}.mp3" for n in range(PUBLISHED + DROPPED_REQUESTS + DROPPED_RECORDINGS)]
    for n, name in enumerate(names):
        request = json.dumps({"source": f"file:///{name}"}).encode()
        if n % 6 == 0:
            folder = inbox / str(n % 4)
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"audio")
        elif n % 6 == 1:
            (inbox / f"{n}.json").write_bytes(request)
        else:
            broker.publish(request, {})
    return set(names)


def _started(settings: DirectoryBrokerSettings, seed: int, stdout: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.integration.spool_drainer", str(settings.path), str(LEASE_S), str(seed)]
    return subprocess.Popen(command, stdout=stdout, cwd=Path(__file__).parents[2])


def _parsed(lines: list[bytes]) -> list[tuple[str, str, int]]:
    """The whole lines: a kill may cut the last."""
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(event, name, int(at_ns)) for event, name, at_ns in whole]


def _drain_after_leases(settings: DirectoryBrokerSettings) -> list[str]:
    """What comes back once the killed worker's leases have ended."""
    broker = DirectoryBroker(settings, ManualClock(time.time() + LEASE_S + 1))
    found = []
    while deliveries := broker.receive(10, 0.0):
        found += [Path(json.loads(delivery.message.body)["source"]).name for delivery in deliveries]
        for delivery in deliveries:
            delivery.settle()
    assert not any((settings.path / "leased").iterdir())
    assert not any((settings.path / "adopting").iterdir())
    return found


def _settled_untold(events: list[tuple[str, str, int]]) -> set[str]:
    """The one message that the killed worker may have settled just before it could say so."""
    last = [(event, name) for event, name, _ in events if event != "got"][-1:]
    return {name for event, name in last if event == "held"}


def _held_twice_at_once(events: list[list[tuple[str, str, int]]]) -> list[str]:
    """The messages that two processes were sure to hold at one moment."""
    spans = defaultdict(list)
    for worker in events:
        since: dict[str, int] = {}
        for event, name, at_ns in worker:
            if event == "got":
                since[name] = at_ns
            elif event == "held":
                spans[name].append((since[name], at_ns))
    return [
        name
        for name, held in spans.items()
        if any(later[0] < earlier[1] for earlier, later in zip(sorted(held), sorted(held)[1:], strict=False))
    ]
