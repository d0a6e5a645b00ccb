"""What every Kafka client of ours is made of: its properties, its password, and what its errors mean."""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import certifi
from confluent_kafka import KafkaError, KafkaException

from transcriber_worker.brokers.kafka_errors import WHO_WE_ARE, refused
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.secrets import SecretMissing, read_secret
from transcriber_worker.settings import KafkaBrokerSettings

_CALLBACKS = ("on_commit", "error_cb")
TELL_AGAIN_S = 30.0
LARGEST_MESSAGE_BYTES = 1024 * 1024
"""What OCI Streaming takes, and a little less than a Kafka broker's default."""


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


Client = TypeVar("Client")


class Connection:
    """One client's way to the brokers: its properties, and what is known of how the brokers take it. Callbacks come on
    the client's threads, questions from any."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._password: str | None = None
        self._down_since: float | None = None
        self._refusal: EnvironmentDown | None = None
        self._refusals = 0
        self._fatal = self._stale = False
        self._told: dict[str, float] = {}

    def properties(self, **ours: Any) -> dict[str, Any]:
        """Everything a client needs to connect, and `ours` (names with underscores for dots), of which an option may
        change those that the settings allow. Raises `EnvironmentDown` without the secret that a setting names."""
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
            self._fatal = self._stale = False
        return client

    def failed(self, error: KafkaError) -> None:
        """An error of the client, from its callback or in place of a message; never raises."""
        code = error.code()
        with self._lock:
            self._fatal = self._fatal or error.fatal() or code == KafkaError._FATAL
            if code == KafkaError._ALL_BROKERS_DOWN and self._down_since is None:
                self._down_since = self._clock.monotonic()
        if code in WHO_WE_ARE:
            self._authenticate_again()
        elif (refusal := refused(error)) is not None:
            self.refuse(refusal)
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
    def stale(self) -> bool:
        """Whether the client was refused for a password that has been replaced since: another one must be made.

        The client could be handed the new one (`set_sasl_credentials`), but hangs in that call, or ends the process,
        while it is logging in, which is when it is needed."""
        with self._lock:
            return self._stale

    @property
    def down_s(self) -> float | None:
        """For how long no broker could be reached; None while one can, as far as is known."""
        with self._lock:
            return None if self._down_since is None else self._clock.monotonic() - self._down_since

    def _authenticate_again(self) -> None:
        """The password was refused. It may have been replaced where it lies."""
        try:
            password = self._read_password()
        except EnvironmentDown as error:
            self.refuse(error)
            return
        with self._lock:
            self._stale = self._stale or password != self._password
            stale = self._stale
        if not stale:
            text = "the Kafka brokers refused the credentials: check broker.kafka.username and password"
            self.refuse(EnvironmentDown(text, PauseReason.CREDENTIALS))

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
