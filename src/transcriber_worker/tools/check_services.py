"""What can be told of a broker's and a cloud's settings without asking them."""

from collections.abc import Iterator
from pathlib import Path

from transcriber_worker.domain.uri import InvalidUri
from transcriber_worker.observability.secrets import SecretMissing, read_secret
from transcriber_worker.pipeline.places import Places
from transcriber_worker.settings import (
    BrokerKind,
    KafkaBrokerSettings,
    OciAuth,
    OciQueueBrokerSettings,
    OciSettings,
    Settings,
)
from transcriber_worker.tools.problem import Problem

_LEAST_LEASE_S = 3.0


def service_problems(settings: Settings) -> Iterator[Problem]:
    """What is wrong with the broker that was chosen, and with access to OCI where anything needs it."""
    match settings.broker.kind:
        case BrokerKind.DIRECTORY:
            pass
        case BrokerKind.KAFKA:
            yield from _kafka(settings.broker.kafka)
        case BrokerKind.OCI_QUEUE:
            yield from _oci_queue(settings.broker.oci_queue)
    if settings.broker.kind is BrokerKind.OCI_QUEUE or _has_oci(settings):
        yield from _oci(settings.oci)
    if settings.worker.lease_s < _LEAST_LEASE_S and _has_oci(settings):
        message = f"Object Storage tells whole seconds; a claim of less than {_LEAST_LEASE_S:g} s may end early"
        yield Problem("worker.lease_s", message, f"raise it to {_LEAST_LEASE_S:g} at least")


def _kafka(kafka: KafkaBrokerSettings) -> Iterator[Problem]:
    at = "broker.kafka"
    for name in ("bootstrap_servers", "topic"):
        if not getattr(kafka, name):
            yield Problem(f"{at}.{name}", "it is not set", "set it: there is no default that could be right")
    if kafka.security_protocol.startswith("sasl"):
        for name in ("username", "password"):
            if getattr(kafka, name) is None:
                message = f"security_protocol {kafka.security_protocol} needs it"
                yield Problem(f"{at}.{name}", message, "set it, or another security_protocol")
    yield from _secret(f"{at}.password", kafka.password)
    yield from _secret(f"{at}.key_password", kafka.key_password)
    for name in ("ca_file", "certificate_file", "key_file"):
        yield from _file(f"{at}.{name}", getattr(kafka, name))
    if (kafka.certificate_file is None) is not (kafka.key_file is None):
        yield Problem(f"{at}.key_file", "a certificate and its key belong together", "set both, or neither")
    if kafka.max_poll_interval_s < kafka.session_timeout_s:
        yield Problem(f"{at}.max_poll_interval_s", "less than session_timeout_s", "raise it, or lower the other")
    others = [kafka.results_topic, kafka.dead_letter_topic, *kafka.reply_topics]
    if kafka.topic and kafka.topic in others:
        message = "results or dead letters would come back as requests"
        yield Problem(f"{at}.topic", message, "name other topics for results, replies and dead letters")


def _oci_queue(queue: OciQueueBrokerSettings) -> Iterator[Problem]:
    at = "broker.oci_queue"
    if not queue.queue_id:
        yield Problem(f"{at}.queue_id", "it is not set", "set it to the queue's OCID")
    elif queue.queue_id == queue.results_queue_id:
        yield Problem(f"{at}.results_queue_id", "results would come back as requests", "name another queue, or none")


def _oci(oci: OciSettings) -> Iterator[Problem]:
    if oci.auth in (OciAuth.API_KEY, OciAuth.SESSION_TOKEN):
        yield from _file("oci.config_file", oci.config_file)


def _has_oci(settings: Settings) -> bool:
    try:
        return any(uri.scheme == "oci" for uri in Places.of(settings).all)
    except InvalidUri:
        return False  # told with the places


def _secret(path: str, reference: str | None) -> Iterator[Problem]:
    if reference is None:
        return
    try:
        read_secret(reference)
    except SecretMissing as error:
        yield Problem(path, str(error), "mount the secret there, or name another place")


def _file(path: str, file: Path | None) -> Iterator[Problem]:
    if file is None:
        return
    try:
        with file.expanduser().open("rb"):
            pass
    except OSError as error:
        yield Problem(path, f"{file} can't be read: {error.strerror}", "mount it there, or name another file")
