"""Answers as Object Storage does not give them, but something in between may: their length can't be known."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.oci_emulator.credentials import TENANCY, USER, some_key, written_config
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciSettings
from transcriber_worker.storage.object_storage import ObjectStorageStore

URI = ObjectUri("oci", "calls@space", "call.wav")


class _Chunked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("etag", "1")
        self.send_header("last-modified", self.date_time_string())
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\nhalf\r\n0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStorageStore]:
    profile = {"user": USER, "tenancy": TENANCY, "fingerprint": ":".join(["ab"] * 16)}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Chunked) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        settings = {
            "auth": "api_key",
            "config_file": written_config(tmp_path / "oci", profile, some_key()),
            "object_storage_endpoint": f"http://127.0.0.1:{server.server_port}",
        }
        clock = ManualClock()
        access = OciAccess(OciSettings.model_validate(settings), clock)
        server.daemon_threads = True
        server.block_on_close = False
        yield ObjectStorageStore(access, clock, 1200.0)
        server.shutdown()
        thread.join()


def test_a_download_whose_end_can_t_be_told_is_not_taken(store: ObjectStorageStore, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentDown, match="ended after 4 of 0 bytes"):
        store.download(URI, tmp_path / "call.wav", etag="1")

    assert not (tmp_path / "call.wav").exists()


def test_a_record_whose_end_can_t_be_told_is_not_believed(store: ObjectStorageStore) -> None:
    with pytest.raises(EnvironmentDown, match="whole"):
        store.read(URI)
