"""`python -m tests.kafka_server --topic jobs:4`: serve until stdin closes or SIGTERM; one JSON line says where."""

import argparse
import json
import signal
import sys

from tests.kafka_server import NotToBeHad, kafka_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kafka_server", description="a Kafka broker for tests")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME:PARTITIONS", help="make a topic; may be repeated"
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with kafka_server() as kafka:
            for topic in chosen.topic:
                name, _, partitions = topic.partition(":")
                kafka.create_topic(name, int(partitions or 1))
            print(json.dumps({"kind": kafka.kind, "bootstrap": kafka.bootstrap}), flush=True)  # noqa: T201
            sys.stdin.read()
    except NotToBeHad as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
