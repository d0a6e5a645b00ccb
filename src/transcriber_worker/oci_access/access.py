"""The one place where clients of OCI's services come from, and where their credentials are kept fresh."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from oci._vendor.requests.adapters import HTTPAdapter
from oci.base_client import OCIHTTPAdapter
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.object_storage import ObjectStorageClient
from oci.queue import QueueAdminClient, QueueClient

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.oci_access.faults import Fault, describe, fault_of
from transcriber_worker.oci_access.retries import BoundedRetries, quick, steady
from transcriber_worker.oci_access.signers import Credentials, open_credentials
from transcriber_worker.settings import OciSettings

CONNECTIONS = 64
"""Kept open by one client: more threads than this that share it open connections for one request each."""
Client = TypeVar("Client")
Answer = TypeVar("Answer")


class OciAccess:
    """Makes clients with the credentials of the settings. Thread-safe. Nothing is read before the first client is.

    Every method may raise `EnvironmentDown` (`PauseReason.CREDENTIALS`) that says what to set or to look at.
    """

    def __init__(self, settings: OciSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._credentials: Credentials | None = None
        self._generation = 0
        self._failure: tuple[float, str] | None = None
        self._refresher: threading.Thread | None = None

    @property
    def retries(self) -> BoundedRetries:
        """What clients do unless told otherwise: for reads, and for writes that may be sent twice."""
        return steady(self._clock, self._stop, self._settings.attempts)

    @property
    def lease_retries(self) -> BoundedRetries:
        """For calls that keep or settle a lease."""
        return quick(self._clock, self._stop, self._settings.attempts)

    def open(self) -> int:
        """Read the credentials, if that has not been done; returns their generation."""
        asked_at = self._clock.monotonic()
        with self._lock:
            if self._credentials is None:
                self._read(asked_at)
            return self._generation

    def renew(self, seen: int) -> None:
        """Read the credentials anew, because those of generation `seen` were refused; of many callers one does."""
        asked_at = self._clock.monotonic()
        with self._lock:
            if self._generation == seen:
                self._read(asked_at)

    def object_storage(
        self, *, longest_silence_s: float | None = None, upload_s: float | None = None
    ) -> ObjectStorageClient:
        """`longest_silence_s`: where the settings' is too long. `upload_s`: how long sending a body may take; the HTTP
        library holds that against the timeout for connecting, or on a connection used before for reading."""
        settings = self._settings
        read_timeout_s = min(longest_silence_s or settings.read_timeout_s, settings.read_timeout_s)
        return self._client(ObjectStorageClient, settings.object_storage_endpoint, read_timeout_s, upload_s)

    def queue(self, endpoint: str, *, read_timeout_s: float | None = None) -> QueueClient:
        """`endpoint`: the queue's messages endpoint. `read_timeout_s`: longest silence, unlike the settings say."""
        return self._client(QueueClient, endpoint, read_timeout_s)

    def queue_admin(self, endpoint: str | None) -> QueueAdminClient:
        """`endpoint`: None for the region's."""
        return self._client(QueueAdminClient, endpoint)

    def close(self) -> None:
        """Stop refreshing tokens, and let requests that fail fail at once."""
        self._stop.set()
        if self._refresher is not None:
            self._refresher.join(timeout=self._settings.connect_timeout_s)

    def _client(
        self,
        kind: Callable[..., Client],
        endpoint: str | None,
        read_timeout_s: float | None = None,
        upload_s: float | None = None,
    ) -> Client:
        self.open()
        credentials, settings = self._credentials, self._settings
        assert credentials is not None  # noqa: S101 - `open` has read them
        region = settings.region or credentials.region
        if endpoint is None and not region:
            raise EnvironmentDown("which region? Set oci.region, or the service's endpoint", PauseReason.CREDENTIALS)
        client: Any = kind(
            {**credentials.config, "region": region or "", "log_requests": False},
            signer=credentials.signer,
            service_endpoint=endpoint,
            timeout=(
                max(settings.connect_timeout_s, upload_s or 0.0),
                max(read_timeout_s or settings.read_timeout_s, upload_s or 0.0),
            ),
            retry_strategy=self.retries,
            # The SDK's own is shared by every client of the process: ten failures of one service would stop them all
            # for half a minute, lease renewals too. This worker pauses by itself when a service is down.
            circuit_breaker_strategy=NoCircuitBreakerStrategy(),
            allow_control_chars=True,
        )
        session = client.base_client.session
        session.headers["Accept-Encoding"] = "identity"  # else a proxy may change the bytes that a checksum is of
        session.mount("https://", OCIHTTPAdapter(pool_maxsize=CONNECTIONS))
        session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        return client  # type: ignore[no-any-return]

    def _read(self, asked_at: float) -> None:
        if self._failure is not None and self._failure[0] > asked_at:
            raise EnvironmentDown(self._failure[1], PauseReason.CREDENTIALS)  # tried while this caller waited
        try:
            self._credentials = open_credentials(self._settings, self.retries)
        except EnvironmentDown as error:
            self._failure = (self._clock.monotonic(), str(error))
            raise
        self._generation += 1
        if self._refresher is None and self._credentials.expire:
            self._refresher = threading.Thread(target=self._refresh_ahead, name="oci-token", daemon=True)
            self._refresher.start()

    def _refresh_ahead(self) -> None:
        """Workload identity's signer waits for a refusal; several threads would meet it, and each fetch a token."""
        while not self._clock.wait(self._stop, self._settings.token_refresh_s):
            credentials = self._credentials
            try:
                if credentials is not None:
                    credentials.refresh()
            except Exception as error:  # whatever it is, the token has half of its life left: try again
                emit(events.CREDENTIALS_REFRESH_FAILED, message=describe(error))


class Renewing(Generic[Client]):
    """A client that is made anew once its credentials were. Thread-safe. `make`: such as `access.object_storage`."""

    def __init__(self, access: OciAccess, make: Callable[[], Client]) -> None:
        self._access = access
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, Client] | None = None

    def call(self, operation: Callable[[Client], Answer]) -> Answer:
        """The answer of a call that may be made twice: where the credentials are refused, they are read anew once.
        Raises what the SDK raises (see `fault_of`), and `EnvironmentDown` where there are no credentials."""
        generation, client = self._current()
        try:
            return operation(client)
        except Exception as error:
            if fault_of(error) is not Fault.CREDENTIALS:
                raise
        self._access.renew(generation)
        return operation(self._current()[1])

    def _current(self) -> tuple[int, Client]:
        generation = self._access.open()
        with self._lock:
            if self._made is None or self._made[0] != generation:
                self._made = (generation, self._make())
            return self._made
