"""Pre-authenticated requests: URLs that need no signature."""

from datetime import UTC, datetime, timedelta

import httpx
import oci
import pytest

from tests.oci_emulator.client import Emulator
from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, refusal


def test_a_url_reads_one_object(emu: Emulator) -> None:
    url = emu.create_par(BUCKET, "a b/é.wav")
    emu.put_object(BUCKET, "a b/é.wav", b"sound")

    found = httpx.get(url, headers={"range": "bytes=1-2"})

    assert (found.status_code, found.content) == (206, b"ou")
    assert httpx.head(url).headers["content-length"] == "5"
    assert httpx.put(url, content=b"other").status_code == 404
    assert httpx.delete(url).status_code == 404
    assert httpx.get(url.replace("%20", "")).status_code == 404


def test_a_url_to_write_cannot_read(emu: Emulator) -> None:
    url = emu.create_par(BUCKET, "call.wav", "ObjectWrite")

    assert httpx.put(url, content=b"sound").status_code == 200
    assert httpx.get(url).status_code == 404
    assert emu.get_object(BUCKET, "call.wav") == b"sound"


def test_a_url_of_a_bucket_covers_a_prefix(emu: Emulator) -> None:
    url = emu.create_par(BUCKET, "out/", "AnyObjectReadWrite")

    assert httpx.put(url + "out/a.json", content=b"{}").status_code == 200
    assert httpx.get(url + "out/a.json").content == b"{}"
    assert httpx.put(url + "in/a.json", content=b"{}").status_code == 404


def test_a_url_expires_by_virtual_time(emu: Emulator) -> None:
    url = emu.create_par(BUCKET, "call.wav", expires_in_s=60)
    emu.put_object(BUCKET, "call.wav", b"sound")
    assert httpx.get(url).status_code == 200

    emu.advance(61)

    assert httpx.get(url).status_code == 404
    emu.switch(par_expired_status=401)
    assert httpx.get(url).status_code == 401


def test_a_made_up_token_opens_nothing(emu: Emulator) -> None:
    emu.put_object(BUCKET, "call.wav", b"sound")

    assert httpx.get(f"{emu.url}/p/guess/n/{NS}/b/{BUCKET}/o/call.wav").status_code == 404


def test_the_sdk_makes_lists_and_removes_them(emu: Emulator, store: Store) -> None:
    expires = datetime.fromtimestamp(emu.now(), UTC) + timedelta(hours=1)
    details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
        name="share", object_name="call.wav", access_type="ObjectRead", time_expires=expires
    )
    made = store.create_preauthenticated_request(NS, BUCKET, details).data
    emu.put_object(BUCKET, "call.wav", b"sound")
    assert httpx.get(emu.url + made.access_uri).content == b"sound"

    (listed,) = store.list_preauthenticated_requests(NS, BUCKET).data
    assert not hasattr(listed, "access_uri")
    assert store.get_preauthenticated_request(NS, BUCKET, made.id).data.object_name == "call.wav"
    store.delete_preauthenticated_request(NS, BUCKET, made.id)

    assert httpx.get(emu.url + made.access_uri).status_code == 404


@pytest.mark.parametrize("change", [{"access_type": "Everything"}, {"object_name": ""}, {"hours": -1}])
def test_nonsense_is_refused(emu: Emulator, store: Store, change: dict[str, str]) -> None:
    expires = datetime.fromtimestamp(emu.now(), UTC) + timedelta(hours=int(change.pop("hours", 1)))
    fields = {"name": "share", "object_name": "call.wav", "access_type": "ObjectRead", **change}
    # As a dict: the SDK's model checks access_type itself.
    details = {"name": fields["name"], "objectName": fields["object_name"], "accessType": fields["access_type"]}

    call = store.base_client.call_api
    where = f"/n/{NS}/b/{BUCKET}/p"
    assert refusal(
        call, resource_path=where, method="POST", header_params={"content-type": "application/json"},
        body={**details, "timeExpires": expires.isoformat()},
    )[0] == 400  # fmt: skip
