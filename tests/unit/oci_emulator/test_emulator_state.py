"""What outlives the emulator, and what does not."""

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import oci

from tests.chaos.deployment import until
from tests.oci_emulator.client import PROJECT, emulator
from tests.oci_emulator.clock import VirtualClock
from tests.oci_emulator.journal import Change, Journal
from tests.unit.oci_emulator.sdk import BUCKET, NS, names, put, store_client


def test_state_outlives_a_kill(tmp_path: Path) -> None:
    with emulator(tmp_path / "state") as emu:
        emu.create_bucket(BUCKET)
        config = oci.config.from_file(str(emu.write_sdk_config(tmp_path / "sdk")))
        store = store_client(emu.url, config)
        kept = put(store, "kept.wav", opc_meta={"job": "7"})
        put(store, "gone.wav")
        store.delete_object(NS, BUCKET, "gone.wav")
        url = emu.create_par(BUCKET, "kept.wav")
        queue = emu.create_queue("jobs")
        emu.advance(5000)
        before = emu.dump()

        emu.kill()
        emu.restart()

        after = emu.dump()
        assert (after["buckets"], after["queues"]) == (before["buckets"], before["queues"])
        assert list(after["queues"]) == [queue]
        assert 0 <= after["now"] - before["now"] < 60
        assert emu.create_par(BUCKET, "kept.wav").partition("/p/")[0] == url.partition("/p/")[0]
        found = store.get_object(NS, BUCKET, "kept.wav")  # with the same key
        assert (found.data.content, found.headers["etag"]) == (b"sound", kept["etag"])
        put(store, "new.wav")
        assert names(store) == ["kept.wav", "new.wav"]
        store.base_client.session.close()


def test_what_was_answered_outlives_kills_in_the_middle_of_work(tmp_path: Path) -> None:
    with emulator(tmp_path / "state") as emu:
        emu.create_bucket(BUCKET)
        url = emu.create_par(BUCKET, None, "AnyObjectReadWrite")
        answered: dict[str, str] = {}
        over = threading.Event()

        def write(writer: int) -> None:
            with httpx.Client() as http:
                for number in itertools.count():
                    if over.is_set():
                        return
                    name = f"{writer}/{number}"
                    with contextlib.suppress(httpx.TransportError):
                        answer = http.put(url + name, content=name.encode())
                        assert answer.status_code == 200
                        answered[name] = answer.headers["etag"]

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
        for thread in writers:
            thread.start()
        for _ in range(4):
            seen = len(answered)
            until(lambda seen=seen: len(answered) > seen + 30, "writes go on")  # type: ignore[misc]
            emu.kill()
            emu.restart()
        over.set()
        for thread in writers:
            thread.join()

        there = emu.dump()["buckets"][BUCKET]
        assert {name: there[name]["etag"] for name in answered} == answered


def test_what_was_not_written_whole_was_never_answered(tmp_path: Path) -> None:
    def opened(found: list[tuple[Change, bytes]]) -> Journal:
        journal = Journal(tmp_path / "journal")
        journal.register("a", lambda change, blob: found.append((change, blob)))
        journal.replay()
        return journal

    first, second, third = [], [], []  # type: ignore[var-annotated]
    journal = opened(first)
    journal.commit("a", {"n": 1}, b"blob")
    journal.commit("a", {"n": 2}, bytes(1000))
    with (tmp_path / "journal").open("r+b") as file:
        file.truncate((tmp_path / "journal").stat().st_size - 2)

    again = opened(second)
    again.commit("a", {"n": 3}, b"")
    opened(third)

    assert first == [({"n": 1}, b"blob"), ({"n": 2}, bytes(1000))]
    assert second == [({"n": 1}, b"blob"), ({"n": 3}, b"")]
    assert third == second


def test_it_ends_with_whoever_started_it() -> None:
    script = (
        "from tests.oci_emulator.client import Emulator; e = Emulator(); print(e._process.pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    until(lambda: not _runs(child), "the emulator ends")


def test_by_hand_it_tells_where_it_listens_and_stays() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.oci_emulator"], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout
    urls = json.loads(process.stdout.readline())
    assert set(urls) == {"url", "control_url"}
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_a_jump_of_time_wakes_those_who_wait() -> None:
    clock, condition, woken = VirtualClock(), threading.Condition(), threading.Event()
    holding = threading.Event()

    def wait() -> None:
        with condition:
            until_ = clock.now() + 3600
            holding.set()
            while clock.wait(condition, until_):
                pass
        woken.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    holding.wait()

    clock.advance(1800)
    with condition:
        assert not woken.is_set()
    clock.advance(1801)

    assert woken.wait(20)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
