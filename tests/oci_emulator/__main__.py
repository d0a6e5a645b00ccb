"""`python -m tests.oci_emulator`: serve until killed. The first line printed is JSON: url, control_url."""

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path

from tests.oci_emulator.application import Answer, Application
from tests.oci_emulator.clock import VirtualClock
from tests.oci_emulator.control import CLOCK, Control
from tests.oci_emulator.delivery import Delivery, deliver, refuse
from tests.oci_emulator.faults import Faults
from tests.oci_emulator.journal import Journal
from tests.oci_emulator.object_events import ObjectEvents
from tests.oci_emulator.objects import ObjectStorage
from tests.oci_emulator.queue_service import QueueService
from tests.oci_emulator.requests_log import RequestsLog
from tests.oci_emulator.server import Listener
from tests.oci_emulator.signatures import Signatures
from tests.oci_emulator.wire import Request


def main() -> None:
    arguments = _arguments()
    journal = Journal(arguments.state and arguments.state / "journal")
    clock, faults, log = VirtualClock(), Faults(), RequestsLog()
    journal.register(CLOCK, lambda change, blob: clock.advance(change["seconds"]))
    queues = QueueService(clock, faults, journal)

    def put_message(queue_id: str, content: str) -> None:
        parts = ("20210201", "queues", queue_id, "messages")
        body = json.dumps({"messages": [{"content": content}]}).encode()
        queues.handle(Request("POST", "/" + "/".join(parts), parts, {}, {}, body, clock.now()))

    events = ObjectEvents(put_message, journal)
    objects = ObjectStorage(faults, journal, events)
    signatures = Signatures(journal)
    journal.replay()
    application = Application(clock, faults, signatures, log, objects, [queues])
    control = Control(application, journal, objects, queues, signatures, log, events)
    stopping = threading.Event()

    def answer_control(connection: socket.socket, request: Request) -> bool:
        return deliver(connection, Answer(control.answer(request), None), head=False, stopping=stopping)

    control.service = Listener(arguments.port, clock.now, Delivery(application, stopping).answer, refuse)
    side_door = Listener(arguments.control_port, clock.now, answer_control, refuse)
    control.service.up()
    side_door.up()
    urls = {"url": control.service.port, "control_url": side_door.port}
    print(json.dumps({name: f"http://127.0.0.1:{port}" for name, port in urls.items()}), flush=True)  # noqa: T201
    if arguments.with_parent:
        while sys.stdin.buffer.read(4096):
            pass
        os._exit(0)
    stopping.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.oci_emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the services, 0 for any free one")
    parser.add_argument("--control-port", type=int, default=0, help="of the control API")
    parser.add_argument("--state", type=Path, help="a folder for what is to outlive a kill; default: nothing does")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    return parser.parse_args()


if __name__ == "__main__":
    main()
