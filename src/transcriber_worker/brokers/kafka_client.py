"""What every Kafka client of ours is made of: its properties, its password, and what its errors mean."""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import certifi
from confluent_kafka import KafkaError, KafkaException

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, WorkerBroken
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.secrets import SecretMissing, read_secret
from transcriber_worker.settings import KafkaBrokerSettings

_CALLBACKS = ("on_commit",)
TELL_AGAIN_S = 30.0
LARGEST_MESSAGE_BYTES = 1024 * 1024
"""What OCI Streaming takes, and a little less than a Kafka broker's default."""

_TOPIC_REFUSED = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
    }
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
_WHO_WE_ARE = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.ILLEGAL_SASL_STATE}
)
_REFUSED: Mapping[int, str] = {
    KafkaError._SSL: "TLS with the Kafka brokers failed: check broker.kafka.security_protocol, ca_file,"
    " certificate_file and key_file",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "the Kafka brokers do not know the mechanism: check"
    " broker.kafka.sasl_mechanism",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user may not join the consumer group: check its permissions and"
    " broker.kafka.group",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not use the topic: check its permissions and"
    " broker.kafka.topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user may not use the Kafka cluster: check its permissions",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "other workers of the group share out partitions in another way: check"
    " broker.kafka.assignment, the same for all",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic: check broker.kafka.topic",
    KafkaError.TOPIC_EXCEPTION: "no topic can have this name: check broker.kafka.topic",
    KafkaError.INVALID_SESSION_TIMEOUT: "the Kafka brokers do not allow it: check broker.kafka.session_timeout_s",
}
"""What does not pass by waiting, and what to check."""
_TLS_ALERT = re.compile(r"SSL routines:.* alert ")
"""In the text of an error that OpenSSL has made of the other side's word."""
_NOT_ABOUT_US = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_SESSION_TIMEOUT,
    }
)


OWNED = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "message.timeout.ms",
        "partition.assignment.strategy",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "session.timeout.ms",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    }
)
"""Properties that are not the user's to set: they have settings of their own, or delivery depends on them."""


def check_options(settings: KafkaBrokerSettings) -> None:
    """Raises `WorkerBroken` for options that the worker sets itself."""
    taken = sorted(OWNED & settings.options.keys())
    if taken:
        raise WorkerBroken(f"broker.kafka.options: {', '.join(taken)} is set by the worker itself: remove it")


class TopicRefused(EnvironmentDown):
    """There is no such topic, or we may not use it."""


class MessageTooLarge(EnvironmentDown):
    """The topic takes no message of this size."""


class _Sparse(logging.Filter):
    """A client that can't connect says so many times a second; each kind of line passes now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.args[0]) if isinstance(record.args, tuple) and record.args else str(record.msg)[:20]
        if record.created - self._last.get(kind, float("-inf")) < TELL_AGAIN_S:
            return False
        self._last[kind] = record.created
        return True


_vendor_log = logging.getLogger("confluent_kafka")
_vendor_log.addFilter(_Sparse())


class SaslClient(Protocol):
    """What a consumer and a producer have in common."""

    def set_sasl_credentials(self, username: str, password: str) -> None: ...


Client = TypeVar("Client", bound=SaslClient)


def publication_failed(topic: str, setting: str, error: KafkaError, size_bytes: int) -> EnvironmentDown:
    """Why a message could not be published to `topic`, which `setting` names."""
    if error.code() in _TOPIC_REFUSED:
        return TopicRefused(f"topic {topic!r} can't be written ({error.name()}): check {setting}", PauseReason.BROKER)
    if error.code() in _TOO_LARGE:
        text = f"topic {topic!r} takes no message of {size_bytes} bytes: raise its max.message.bytes"
        return MessageTooLarge(text, PauseReason.BROKER)
    text = f"Kafka did not confirm a publication to {topic!r} ({error.name()}): check broker.kafka.bootstrap_servers"
    return EnvironmentDown(text, PauseReason.BROKER)


def unreachable(error: KafkaError | None = None) -> EnvironmentDown:
    """Nobody answers."""
    why = f" ({error.name()})" if error is not None else ""
    text = f"no Kafka broker can be reached{why}: check broker.kafka.bootstrap_servers and the network"
    return EnvironmentDown(text, PauseReason.BROKER)


class Connection:
    """One client's way to the brokers: its properties, and what is known of how the brokers take it. Callbacks come on
    the client's threads, questions from any."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        check_options(settings)
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._client: SaslClient | None = None
        self._password: str | None = None
        self._down_since: float | None = None
        self._refusal: EnvironmentDown | None = None
        self._refusals = 0
        self._fatal = False
        self._told: dict[str, float] = {}

    def properties(self, **ours: Any) -> dict[str, Any]:
        """Everything a client needs to connect, and `ours` (names with underscores for dots): those in `OWNED` as they
        are, the others unless an option says otherwise. Raises
        `EnvironmentDown` without the secret that a setting names."""
        settings = self._settings
        named = {name if name in _CALLBACKS else name.replace("_", "."): value for name, value in ours.items()}
        return {
            "error_cb": self.failed,
            "logger": _vendor_log,
            "log.connection.close": False,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2000,
            "bootstrap.servers": settings.bootstrap_servers,
            "security.protocol": settings.security_protocol,
            **self._security(),
            **named,
            **settings.options,
        }

    def made(self, make: Callable[[], Client]) -> Client:
        """The client that `make` makes of these properties. Raises `EnvironmentDown` where there can be none."""
        try:
            client = make()
        except KafkaException as error:
            text = f"there can be no Kafka client: {error.args[0].str()}: check broker.kafka"
            raise EnvironmentDown(text, PauseReason.BROKER) from None
        with self._lock:
            self._client, self._fatal = client, False
        return client

    def failed(self, error: KafkaError) -> None:
        """An error of the client, from its callback or in place of a message; never raises."""
        code = error.code()
        if code == KafkaError._TRANSPORT and _TLS_ALERT.search(error.str()):
            code = KafkaError._SSL  # with TLS 1.3 a certificate is refused only after the handshake
        with self._lock:
            self._fatal = self._fatal or error.fatal() or code == KafkaError._FATAL
            if code == KafkaError._ALL_BROKERS_DOWN and self._down_since is None:
                self._down_since = self._clock.monotonic()
        if code in _WHO_WE_ARE:
            self._authenticate_again()
        elif code in _REFUSED:
            part = PauseReason.BROKER if code in _NOT_ABOUT_US else PauseReason.CREDENTIALS
            self.refuse(EnvironmentDown(_REFUSED[code], part))
        self.tell(error.name(), error.str())

    def tell(self, name: str, text: str) -> None:
        """Log an error that the client survives, each kind now and then."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._told.get(name, -TELL_AGAIN_S) < TELL_AGAIN_S:
                return
            self._told[name] = now
        emit(events.BROKER_ERROR, error=name, message=text)

    def refuse(self, refusal: EnvironmentDown) -> None:
        """It won't work until somebody mends something."""
        with self._lock:
            self._refusal = refusal
            self._refusals += 1

    def reached(self) -> None:
        """A broker has answered."""
        with self._lock:
            self._down_since = None

    def well(self) -> None:
        """The brokers have done what they were asked to."""
        with self._lock:
            self._down_since = self._refusal = None

    @property
    def refusal(self) -> EnvironmentDown | None:
        """Why the brokers do not take us, if they do not."""
        with self._lock:
            return self._refusal

    @property
    def refusals(self) -> int:
        """How often they did not."""
        with self._lock:
            return self._refusals

    @property
    def fatal(self) -> bool:
        """Whether the client is of no more use."""
        with self._lock:
            return self._fatal

    @property
    def down_s(self) -> float | None:
        """For how long no broker could be reached; None while one can, as far as is known."""
        with self._lock:
            return None if self._down_since is None else self._clock.monotonic() - self._down_since

    def _authenticate_again(self) -> None:
        """The password was refused. It may have been replaced where it lies; the client tries again by itself."""
        try:
            password = self._read_password()
        except EnvironmentDown as error:
            self.refuse(error)
            return
        with self._lock:
            changed, self._password = password != self._password, password
            client = self._client
        if changed and client is not None:
            self.well()
            # On a thread of its own: called from a callback it would abort the process at the next callback of the same
            # poll (confluent_kafka.c: CallState_get, assertion cs != NULL).
            threading.Thread(target=self._hand_over, args=(client, password or ""), daemon=True).start()
        else:
            text = "the Kafka brokers refused the credentials: check broker.kafka.username and password"
            self.refuse(EnvironmentDown(text, PauseReason.CREDENTIALS))

    def _hand_over(self, client: SaslClient, password: str) -> None:
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            client.set_sasl_credentials(self._settings.username or "", password)

    def _read_password(self) -> str | None:
        return _secret(self._settings.password, "broker.kafka.password")

    def _security(self) -> dict[str, Any]:
        settings, found = self._settings, dict[str, Any]()
        if settings.security_protocol.startswith("sasl"):
            self._password = self._read_password()
            found["sasl.mechanism"] = settings.sasl_mechanism
            found["sasl.username"] = settings.username or ""
            found["sasl.password"] = self._password or ""
        if settings.security_protocol.endswith("ssl"):
            found["ssl.ca.location"] = str(settings.ca_file or certifi.where())
            if settings.certificate_file is not None:
                found["ssl.certificate.location"] = str(settings.certificate_file)
            if settings.key_file is not None:
                found["ssl.key.location"] = str(settings.key_file)
            if settings.key_password is not None:
                found["ssl.key.password"] = _secret(settings.key_password, "broker.kafka.key_password")
        return found


def _secret(reference: str | None, setting: str) -> str | None:
    if reference is None:
        return None
    try:
        return read_secret(reference)
    except SecretMissing as error:
        raise EnvironmentDown(f"{setting}: {error}", PauseReason.CREDENTIALS) from None
