"""Clients, and the credentials behind them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oci.exceptions import ServiceError

from tests.oci_emulator.credentials import TENANCY, USER, some_key, written_config
from tests.unit.oci_access.proxymux import Proxymux, proxymux
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.oci_access import access as access_module
from transcriber_worker.oci_access.access import OciAccess, Renewing
from transcriber_worker.oci_access.signers import Credentials, open_credentials
from transcriber_worker.settings import OciSettings

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    profile = {"user": USER, "tenancy": TENANCY, "fingerprint": ":".join(["ab"] * 16)}
    return written_config(tmp_path / "oci", profile, some_key())


@pytest.fixture
def settings(config: Path) -> OciSettings:
    return OciSettings.model_validate({"auth": "api_key", "config_file": config})


@pytest.fixture
def access(settings: OciSettings) -> OciAccess:
    return OciAccess(settings, ManualClock())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Credentials]:
    """Every reading of credentials."""
    found: list[Credentials] = []

    def note(*args: object) -> Credentials:
        found.append(open_credentials(*args))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(access_module, "open_credentials", note)
    return found


class TestClients:
    def test_nothing_is_read_before_the_first_client(self, config: Path, settings: OciSettings) -> None:
        config.unlink()

        access = OciAccess(settings, ManualClock())

        with pytest.raises(EnvironmentDown, match=str(config)):
            access.object_storage()

    def test_a_service_is_found_by_the_region(self, access: OciAccess) -> None:
        assert access.object_storage().base_client.endpoint.startswith("https://objectstorage.eu-frankfurt-1.")
        assert "messaging.eu-frankfurt-1." in access.queue_admin(None).base_client.endpoint

    def test_the_settings_region_comes_before_the_file_s(self, settings: OciSettings) -> None:
        access = OciAccess(settings.model_copy(update={"region": "sa-saopaulo-1"}), ManualClock())

        assert "sa-saopaulo-1" in access.object_storage().base_client.endpoint

    def test_a_service_is_found_by_its_endpoint(self, access: OciAccess) -> None:
        assert access.queue(ENDPOINT).base_client.endpoint.startswith(ENDPOINT)
        assert access.queue_admin(ENDPOINT).base_client.endpoint.startswith(ENDPOINT)

    def test_without_a_region_the_setting_is_named(self, config: Path, access: OciAccess) -> None:
        config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("region")))

        with pytest.raises(EnvironmentDown, match=r"oci\.region") as down:
            access.object_storage()
        assert down.value.part is PauseReason.CREDENTIALS
        access.queue(ENDPOINT)

    def test_a_client_waits_as_long_as_the_settings_say(self, settings: OciSettings) -> None:
        changed = settings.model_copy(update={"connect_timeout_s": 3.0, "read_timeout_s": 7.0})
        access = OciAccess(changed, ManualClock())

        assert access.queue(ENDPOINT).base_client.timeout == (3.0, 7.0)
        assert access.queue(ENDPOINT, read_timeout_s=45.0).base_client.timeout == (3.0, 45.0)

    def test_object_storage_has_a_patience_for_each_use(self, settings: OciSettings) -> None:
        access = OciAccess(
            settings.model_copy(update={"connect_timeout_s": 3.0, "read_timeout_s": 30.0}), ManualClock()
        )

        assert access.object_storage().base_client.timeout == (3.0, 30.0)
        assert access.object_storage(longest_silence_s=15.0).base_client.timeout == (3.0, 15.0)
        assert access.object_storage(longest_silence_s=90.0).base_client.timeout == (3.0, 30.0)
        assert access.object_storage(upload_s=120.0).base_client.timeout == (120.0, 120.0)

    def test_no_client_trips_over_the_failures_of_another(self, access: OciAccess) -> None:
        """The SDK's circuit breaker is one for all clients of the process."""
        clients = [access.object_storage(), access.queue(ENDPOINT), access.queue_admin(ENDPOINT)]

        assert all(not hasattr(client.base_client.request, "__wrapped__") for client in clients)

    def test_no_proxy_is_invited_to_compress(self, access: OciAccess) -> None:
        """The checksum in the headers is one of the bytes as they are stored."""
        assert access.object_storage().base_client.session.headers["Accept-Encoding"] == "identity"

    def test_many_threads_share_a_client_s_connections(self, access: OciAccess) -> None:
        session = access.object_storage().base_client.session

        for scheme in ("http://", "https://"):
            assert session.get_adapter(scheme).poolmanager.connection_pool_kw["maxsize"] == access_module.CONNECTIONS


class TestRenewal:
    def test_of_many_callers_one_reads_them(self, access: OciAccess, opened: list[Credentials]) -> None:
        seen = access.open()

        with ThreadPoolExecutor(16) as callers:
            list(callers.map(access.renew, [seen] * 16))

        assert len(opened) == 2
        assert access.open() == seen + 1

    def test_those_who_waited_for_a_failure_share_it(
        self, settings: OciSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a slow failure would be waited for once per thread, one after another."""
        access, tries, arrived = OciAccess(settings, SystemClock()), [], threading.Semaphore(0)
        refused = EnvironmentDown("refused", PauseReason.CREDENTIALS)

        def fail_slowly(*_: object) -> Credentials:
            tries.append(threading.get_ident())
            if len(tries) == 1:
                assert all(arrived.acquire(timeout=30) for _ in range(8))
            raise refused

        def ask(_: int) -> str:
            with pytest.raises(EnvironmentDown, match="refused"):
                access.open()
            return "refused"

        monkeypatch.setattr(access_module, "open_credentials", fail_slowly)
        monkeypatch.setattr(access, "_lock", _CountedLock(arrived))
        with ThreadPoolExecutor(8) as callers:
            assert list(callers.map(ask, range(8))) == ["refused"] * 8

        assert len(tries) == 1
        with pytest.raises(EnvironmentDown):
            access.open()
        assert len(tries) == 2

    def test_what_can_t_be_read_again_stays_as_it_was(self, access: OciAccess, config: Path) -> None:
        seen = access.open()
        config.rename(config.with_name("gone"))

        with pytest.raises(EnvironmentDown):
            access.renew(seen)

        assert access.open() == seen
        access.queue(ENDPOINT)


class TestRenewing:
    @pytest.fixture
    def client(self, access: OciAccess) -> Renewing[object]:
        return Renewing(access, access.object_storage)

    def test_the_client_stays_while_the_credentials_do(self, client: Renewing[object]) -> None:
        assert client.call(lambda it: it) is client.call(lambda it: it)

    def test_it_is_another_once_they_were_renewed(self, client: Renewing[object], access: OciAccess) -> None:
        before = client.call(lambda it: it)

        access.renew(access.open())

        assert client.call(lambda it: it) is not before

    def test_a_refused_call_is_made_once_more_by_a_new_client(self, client: Renewing[object]) -> None:
        by: list[object] = []

        def refuse(it: object) -> None:
            by.append(it)
            raise ServiceError(401, "NotAuthenticated", {}, "")

        with pytest.raises(ServiceError):
            client.call(refuse)

        assert len(by) == 2
        assert by[0] is not by[1]

    @pytest.mark.parametrize("error", [ServiceError(403, "NotAllowed", {}, ""), ValueError("ours")])
    def test_any_other_failure_is_not_repeated(self, client: Renewing[object], error: Exception) -> None:
        made: list[object] = []

        def fail(it: object) -> None:
            made.append(it)
            raise error

        with pytest.raises(type(error)):
            client.call(fail)
        assert len(made) == 1


class TestShortLivedTokens:
    @pytest.fixture
    def node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxymux]:
        monkeypatch.delenv("OCI_RESOURCE_PRINCIPAL_VERSION", raising=False)
        with proxymux(tmp_path, monkeypatch) as node:
            yield node

    @pytest.fixture
    def ticks(self) -> "_Ticks":
        return _Ticks()

    @pytest.fixture
    def access(self, node: Proxymux, ticks: "_Ticks") -> Iterator[OciAccess]:
        access = OciAccess(OciSettings.model_validate({"token_refresh_s": 250}), ticks)
        yield access
        ticks.closing.set()
        access.close()

    def test_they_are_replaced_ahead_of_their_end(self, access: OciAccess, node: Proxymux, ticks: "_Ticks") -> None:
        node.lives_s = -10
        access.open()
        node.lives_s = 3600

        for _ in range(3):
            ticks.tick()

        assert ticks.waits_s == [250.0] * 4
        assert len(node.given) == 2

    def test_one_that_can_t_be_replaced_now_is_tried_again(
        self, access: OciAccess, node: Proxymux, ticks: "_Ticks"
    ) -> None:
        node.lives_s = -10
        access.open()
        node.lives_s, node.status = 3600, 503

        ticks.tick()
        assert len(node.given) == 1
        node.status = 200
        ticks.tick()

        assert len(node.given) == 2

    def test_the_end_is_not_waited_for(self, access: OciAccess, ticks: "_Ticks") -> None:
        access.open()
        ticks.closing.set()

        access.close()

        assert not any(thread.name == "oci-token" for thread in threading.enumerate())


class _Ticks(ManualClock):
    """Long waits end when the test says so; short ones at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self.closing = threading.Event()
        self._go = threading.Semaphore(0)
        self._waiting = threading.Semaphore(0)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if timeout_s < 100:
            return super().wait(event, timeout_s)
        self.waits_s.append(timeout_s)
        self._waiting.release()
        while not self._go.acquire(timeout=0.01):
            if self.closing.is_set():
                return event.wait(30)
        return super().wait(event, timeout_s)

    def tick(self) -> None:
        """Let one wait pass, and come back when the next has begun."""
        assert self._waiting.acquire(timeout=30)
        self._go.release()
        assert self._waiting.acquire(timeout=30)
        self._waiting.release()


class _CountedLock:
    """A lock that tells how many have come to it."""

    def __init__(self, arrived: threading.Semaphore) -> None:
        self._lock = threading.Lock()
        self._arrived = arrived

    def __enter__(self) -> None:
        self._arrived.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
