#!/usr/bin/env python3
"""Requests into Kafka or OCI Queue without transcriber-worker installed: what a producer of your own has to do, whole.

    pip install confluent-kafka
    python publish.py kafka kafka:9092 transcription-requests < night.txt
    python publish.py kafka my-streaming:9092 requests --properties client.properties < night.txt

        security.protocol=SASL_SSL
        sasl.mechanism=PLAIN
        sasl.username=...
        sasl.password=...

    pip install oci
    python publish.py oci-queue $QUEUE_ID $MESSAGES_ENDPOINT < night.txt              # credentials: ~/.oci/config
    python publish.py oci-queue $QUEUE_ID $MESSAGES_ENDPOINT --auth workload_identity < night.txt      # in a cluster

Standard input: a source a line, such as oci://recordings@my-namespace/call.mp3, or a request as a JSON object
(docs/schemas/request.json). A request without an id gets one made from itself, so the same line is the same request
whenever it is sent. A source that was sent twice is transcribed once: a job is known by where its transcript goes.

Prints the ids of the requests that the service has taken. Exits with 1 if it did not take all; with 2, and nothing
sent, for a line that is no request or settings that are none. Where the package is installed, `transcriber-worker
submit` does more: it checks, lists whole prefixes, waits, and leaves out what was sent before.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

BATCH = 20
"""Messages in one request to OCI Queue: the service takes no more."""
FLUSH_S = 60.0
Request = dict[str, Any]


def read_requests(lines: Iterable[str]) -> list[Request]:
    """The messages' bodies; raises ValueError that names the first line that is none."""
    found = []
    for number, line in enumerate((line.removeprefix("\ufeff").strip() for line in lines), start=1):
        if not line:
            continue
        try:
            fields = json.loads(line) if line.startswith("{") else {"source": line}
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if not isinstance(fields.get("source"), str) or not fields["source"]:
            raise ValueError(f"line {number} names no source")
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        found.append({"version": 1, "id": digest[:32], **fields})
    return found


def read_properties(file: Path) -> dict[str, str]:
    """Settings as Kafka's tools write them; raises ValueError where they can't be read."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ValueError(str(error)) from None
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def to_kafka(chosen: argparse.Namespace, requests: Sequence[Request]) -> int:
    """Returns how many were not taken; raises ValueError for settings that are none, before any is sent."""
    from confluent_kafka import KafkaException, Producer

    failures: list[str] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            failures.append(str(error))
        else:
            print(json.loads(message.value())["id"], flush=True)

    more = read_properties(chosen.properties) if chosen.properties else {}
    try:
        producer = Producer({"bootstrap.servers": chosen.bootstrap, "acks": "all", **more})
    except KafkaException as error:
        raise ValueError(error.args[0].str()) from None
    for request in requests:
        producer.poll(0)
        while True:
            try:
                # The source as key: requests for one recording stay in order, and all others spread.
                producer.produce(chosen.topic, json.dumps(request), key=request["source"], on_delivery=delivered)
                break
            except BufferError:
                producer.poll(1.0)
            except KafkaException as error:
                failures.append(str(error))
                break
    left = producer.flush(FLUSH_S)
    sys.stderr.writelines(f"{error}\n" for error in dict.fromkeys(failures))
    return len(failures) + left


def to_oci_queue(chosen: argparse.Namespace, requests: Sequence[Request]) -> int:
    """Returns how many were not taken; raises ValueError for settings that are none, before any is sent."""
    import oci

    if chosen.auth == "workload_identity":
        config, signer = {}, {"signer": oci.auth.signers.get_oke_workload_identity_resource_principal_signer()}
    else:
        try:
            config, signer = oci.config.from_file(chosen.config_file, chosen.profile), {}
        except oci.exceptions.ClientError as error:
            raise ValueError(str(error)) from None
    queue = oci.queue.QueueClient(config, service_endpoint=chosen.endpoint, **signer)
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        messages = [oci.queue.models.PutMessagesDetailsEntry(content=json.dumps(request)) for request in batch]
        details = oci.queue.models.PutMessagesDetails(messages=messages)
        try:
            queue.put_messages(chosen.queue_id, details, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY)
        except (oci.exceptions.ServiceError, oci.exceptions.RequestException) as error:
            sys.stderr.write(f"{error}\n")
            return len(requests) - start
        for request in batch:
            print(request["id"], flush=True)
    return 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    services = options.add_subparsers(required=True)
    kafka = services.add_parser("kafka", help="also OCI Streaming")
    kafka.add_argument("bootstrap", help="host:port[,host:port]")
    kafka.add_argument("topic")
    kafka.add_argument("--properties", type=Path, metavar="FILE", help="of librdkafka, such as sasl.password=...")
    kafka.set_defaults(publish=to_kafka)
    queue = services.add_parser("oci-queue")
    queue.add_argument("queue_id")
    queue.add_argument("endpoint", help="the queue's messages endpoint")
    queue.add_argument("--auth", choices=["config", "workload_identity"], default="config")
    queue.add_argument("--config-file", default="~/.oci/config")
    queue.add_argument("--profile", default="DEFAULT")
    queue.set_defaults(publish=to_oci_queue)
    chosen = options.parse_args()
    try:
        requests = read_requests(sys.stdin)
        not_taken = int(chosen.publish(chosen, requests))
    except ValueError as error:
        options.error(str(error))
    if not_taken:
        sys.stderr.write(f"not taken: {not_taken} of {len(requests)}\n")
    return 1 if not_taken else 0


if __name__ == "__main__":
    sys.exit(main())
