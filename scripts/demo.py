#!/usr/bin/env python3
"""`transcriber-worker demo` with a broker and a store of the kind that production has, started for it and ended after.

    python scripts/demo.py kafka    # a real Apache Kafka (Docker, or Java and Maven); a folder as store
    python scripts/demo.py queue    # OCI Queue and OCI Object Storage, by the emulator that the tests use

`make demo STACK=kafka` runs it. Everything lies below .demo/; further arguments go to `transcriber-worker demo`.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # the servers are the tests' own

from tests.kafka_server import NotToBeHad, kafka_server  # noqa: E402
from tests.oci_emulator.client import emulator  # noqa: E402

FOLDER = Path(".demo").absolute()
RECORDINGS = PROJECT / "demo" / "recordings"
PREFIX = "TRANSCRIBER__"


@contextmanager
def kafka_stack(_folder: Path) -> Iterator[Mapping[str, str]]:
    with kafka_server() as kafka:
        kafka.create_topic("jobs", 4)
        kafka.create_topic("jobs-results", 4)
        kafka.create_topic("jobs-dead-letters")
        print(f"{kafka.kind}: {kafka.bootstrap}, topic jobs with 4 partitions", flush=True)
        yield {
            "BROKER__KIND": "kafka",
            "BROKER__KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
            "BROKER__KAFKA__TOPIC": "jobs",
            "BROKER__KAFKA__ASSIGNMENT": kafka.assignment,
        }


@contextmanager
def queue_stack(folder: Path) -> Iterator[Mapping[str, str]]:
    with emulator() as emu:
        recordings, transcripts = emu.create_bucket("recordings"), emu.create_bucket("transcripts")
        jobs, results = emu.create_queue("jobs"), emu.create_queue("results")
        print(f"OCI emulator: {emu.url}, queue jobs, buckets {recordings} and {transcripts}", flush=True)
        try:
            yield {
                "BROKER__KIND": "oci_queue",
                "BROKER__OCI_QUEUE__QUEUE_ID": jobs,
                "BROKER__OCI_QUEUE__ADMIN_ENDPOINT": emu.url,
                "BROKER__OCI_QUEUE__RESULTS_QUEUE_ID": results,
                "OCI__AUTH": "api_key",
                "OCI__CONFIG_FILE": str(emu.write_sdk_config(folder / "oci")),
                "OCI__OBJECT_STORAGE_ENDPOINT": emu.url,
                "STORAGE__OUTPUT": f"oci://{transcripts}@{emu.namespace}/",
                "STORAGE__UPLOADS": f"oci://{recordings}@{emu.namespace}/",
            }
        finally:
            for name in emu.list_objects(transcripts):  # the bucket ends with the emulator
                if not name.startswith("."):
                    copy = folder / "transcripts" / name
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(emu.get_object(transcripts, name))
            print(f"copies of the transcripts: {folder / 'transcripts'}")


def run_demo(stack: Mapping[str, str], folder: Path, arguments: list[str]) -> int:
    """`transcriber-worker demo` in this stack; returns its exit code. Signals are its own to answer: it stops its
    worker, which still needs the servers for that."""
    command = [sys.executable, "-m", "transcriber_worker", "demo", str(RECORDINGS), "--folder", str(folder), *arguments]
    environment = {**os.environ, **{PREFIX + name: value for name, value in stack.items()}}
    begun: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: object) -> None:
        for demo in begun:
            demo.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)  # before it starts: an ignored signal would be ignored by it too
    begun.append(subprocess.Popen(command, env=environment, start_new_session=True))
    return begun[0].wait()


def main() -> int:
    stacks = {"kafka": kafka_stack, "queue": queue_stack}
    if len(sys.argv) < 2 or sys.argv[1] not in stacks:
        sys.stderr.write(f"usage: {sys.argv[0]} {{{','.join(stacks)}}}\n")
        return 2
    folder = FOLDER / sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)  # its broker begins empty: so must its records
    # A terminal's Ctrl-C goes to the servers too, which must outlive the worker: they are started deaf to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with stacks[sys.argv[1]](folder) as stack:
            return run_demo(stack, folder, sys.argv[2:])
    except NotToBeHad as reason:
        sys.stderr.write(f"{reason}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
