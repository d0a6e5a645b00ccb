"""The https store keeps the reading half of the contract: what is there was put there by its publisher."""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest

from tests.contract.store_contract import StoreContract
from tests.https_origin import HOST, PUBLIC, Dialler, Names, serving, trusting
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import Condition, ObjectInfo, ObjectStore
from transcriber_worker.storage.https import HttpsStore
from transcriber_worker.storage.https_network import VettedNetwork

ALLOWED = ObjectUri.parse(f"https://{HOST}/public/")
READS_ONLY = "a URL is only read from: conditional writes are no ability of the store"
NO_LISTS = "a URL is only read from: a host has no list of its objects"


class PublishedStore(HttpsStore):
    """The store, and beside it a publisher who puts objects on the host and takes them away, unconditionally."""

    def __init__(self, port: int, authority: bytes) -> None:
        tls = trusting(authority)
        network = VettedNetwork(Names({HOST: [[PUBLIC]]}), Dialler(port))
        super().__init__(
            [ALLOWED], 20.0, SystemClock(), max_bytes=1 << 30, download_timeout_s=1200.0, network=network, tls=tls
        )
        self._port = port
        self._publisher_tls = trusting(authority)
        self._publisher_tls.check_hostname = False

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        if condition is not None:
            return super().write(uri, body, content_type, condition)
        self._publish("PUT", uri, body)
        return self.head(uri)

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:
        if condition is not None:
            super().delete(uri, condition)
        self._publish("DELETE", uri)

    def _publish(self, method: str, uri: ObjectUri, body: bytes | None = None) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=20, context=self._publisher_tls)
        try:
            connection.request(method, f"/{uri.key}", body)
            assert connection.getresponse().status in (200, 204)
        finally:
            connection.close()


@dataclass
class HttpsHarness:
    port: int
    authority: bytes
    prefix: ObjectUri = ALLOWED

    def opener(self, process: int) -> Callable[[], ObjectStore]:
        return partial(PublishedStore, self.port, self.authority)


class TestHttpsStore(StoreContract):
    missing: ClassVar[dict[str, str]] = {
        "test_create_only_writes_once": READS_ONLY,
        "test_if_match_replaces_the_version_it_names": READS_ONLY,
        "test_if_match_refuses_another_version": READS_ONLY,
        "test_if_match_refuses_an_object_that_is_gone": READS_ONLY,
        "test_a_conditional_delete_spares_another_version": READS_ONLY,
        "test_odd_names_are_names": READS_ONLY,
        "test_of_racing_creators_exactly_one_wins": READS_ONLY,
        "test_racing_increments_lose_none": READS_ONLY,
        "test_a_list_has_what_lies_below_the_prefix_by_name": NO_LISTS,
    }

    @pytest.fixture
    def harness(self) -> Iterator[HttpsHarness]:
        with serving() as origin:
            origin.moment = SystemClock().now
            yield HttpsHarness(origin.port, origin.certificates.authority)
