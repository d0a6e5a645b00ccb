"""Object Storage as the real SDK sees it: objects and buckets."""

import base64
import hashlib
import json
import threading
from typing import Any

import httpx
import oci
import pytest

from tests.oci_emulator.client import Emulator
from tests.oci_emulator.objects_model import base64_md5
from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, get, names, put, refusal, store_client
from transcriber_worker.domain.uri import ObjectUri


def test_what_was_put_comes_back_with_its_headers(store: Store) -> None:
    put(store, "call.wav", b"sound", content_type="audio/wav", opc_meta={"job": "7"}, cache_control="no-store")

    found = get(store, "call.wav")

    assert found.data.content == b"sound"
    headers = found.headers
    assert headers["content-md5"] == headers["opc-content-md5"] == base64_md5(b"sound")
    assert (headers["content-type"], headers["opc-meta-job"], headers["cache-control"]) == (
        "audio/wav",
        "7",
        "no-store",
    )
    assert headers["etag"] == store.head_object(NS, BUCKET, "call.wav").headers["etag"]
    assert headers["content-length"] == "5"


def test_each_version_has_another_etag_that_is_no_hash(store: Store) -> None:
    first, second = put(store, "call.wav"), put(store, "call.wav")

    assert first["etag"] != second["etag"]
    assert len(first["etag"].split("-")) == 5


@pytest.mark.parametrize(
    "name", ["a/é +%2F.wav", "50% #1 a+b&c=d;e'f\".wav", "a?b=c", "x" * 1024, "日本/語.mp3", ".x/..y"]
)
def test_names_come_back_as_they_were_given(store: Store, emu: Emulator, name: str) -> None:
    put(store, name, name.encode())

    assert get(store, name).data.content == name.encode()
    assert names(store) == emu.list_objects(BUCKET) == [name]


def test_a_slash_in_a_name_may_be_quoted_or_not(store: Store, emu: Emulator) -> None:
    """The SDK quotes it; a URL that somebody typed does not."""
    url = emu.create_par(BUCKET, "deep/er/call.wav")
    emu.put_object(BUCKET, "deep/er/call.wav", b"sound")

    assert "deep/er/call.wav" in url
    assert httpx.get(url).content == get(store, "deep/er/call.wav").data.content == b"sound"


@pytest.mark.parametrize("name", ["x" * 1025, "a\nb", "a\0b"])
def test_impossible_names_are_refused(store: Store, name: str) -> None:
    assert refusal(put, store, name) == (400, "InvalidObjectName")


def test_what_is_not_there_is_told_by_code(store: Store) -> None:
    assert refusal(get, store, "none") == (404, "ObjectNotFound")
    assert refusal(store.delete_object, NS, BUCKET, "none") == (404, "ObjectNotFound")
    assert refusal(store.get_object, NS, "other", "none") == (404, "BucketNotFound")
    assert refusal(store.put_object, NS, "other", "none", b"") == (404, "BucketNotFound")
    assert refusal(store.get_object, "other", BUCKET, "none") == (404, "NamespaceNotFound")
    assert refusal(store.head_object, NS, BUCKET, "none") == (404, None)


def test_deleted_is_gone(store: Store) -> None:
    put(store, "call.wav")

    store.delete_object(NS, BUCKET, "call.wav")

    assert refusal(get, store, "call.wav") == (404, "ObjectNotFound")


def test_writes_keep_to_their_conditions(store: Store) -> None:
    first = put(store, "call.wav", b"1", if_none_match="*")["etag"]
    assert refusal(put, store, "call.wav", b"2", if_none_match="*") == (412, "IfNoneMatchFailed")
    second = put(store, "call.wav", b"2", if_match=first)["etag"]
    assert refusal(put, store, "call.wav", b"3", if_match=first) == (412, "IfMatchFailed")
    assert refusal(put, store, "other.wav", b"3", if_match=first) == (412, "IfMatchFailed")
    assert refusal(put, store, "call.wav", b"3", if_none_match=second) == (400, "InvalidParameter")
    assert refusal(store.delete_object, NS, BUCKET, "call.wav", if_match=first) == (412, "IfMatchFailed")

    assert get(store, "call.wav").data.content == b"2"
    store.delete_object(NS, BUCKET, "call.wav", if_match=second)


def test_reads_keep_to_their_conditions(store: Store) -> None:
    etag = put(store, "call.wav")["etag"]

    assert get(store, "call.wav", if_match=etag).data.content == b"sound"
    assert refusal(get, store, "call.wav", if_match="other") == (412, "IfMatchFailed")
    assert refusal(get, store, "call.wav", if_none_match=etag)[0] == 304
    assert refusal(store.head_object, NS, BUCKET, "call.wav", if_none_match=etag)[0] == 304


def test_of_racing_creators_exactly_one_wins(emu: Emulator, config: dict[str, Any]) -> None:
    together, outcomes = threading.Barrier(8), []

    def race(number: int) -> None:
        client = store_client(emu.url, config)
        together.wait()
        try:
            outcomes.append(put(client, "call.wav", str(number).encode(), if_none_match="*") and number)
        except oci.exceptions.ServiceError as error:
            outcomes.append(error.code)
        client.base_client.session.close()

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    winners = [outcome for outcome in outcomes if outcome != "IfNoneMatchFailed"]
    assert len(outcomes) == 8
    assert [emu.get_object(BUCKET, "call.wav")] == [str(winner).encode() for winner in winners]


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-999", b"56789", "bytes 5-9/10"),
    ],
)
def test_a_range_is_a_part(store: Store, asked: str, part: bytes, told: str) -> None:
    put(store, "call.wav", b"0123456789")

    found = get(store, "call.wav", range=asked)

    assert (found.status, found.data.content, found.headers["content-range"]) == (206, part, told)


def test_a_range_outside_is_refused(store: Store) -> None:
    put(store, "call.wav", b"0123456789")
    put(store, "empty.wav", b"")

    assert refusal(get, store, "call.wav", range="bytes=10-") == (416, "InvalidRange")
    assert refusal(get, store, "call.wav", range="bytes=0-1,3-4") == (416, "InvalidRange")
    assert refusal(get, store, "empty.wav", range="bytes=0-0") == (416, "InvalidRange")


def test_what_is_no_range_is_ignored(store: Store) -> None:
    put(store, "call.wav", b"0123456789")

    for text in ("bytes=5-2", "seconds=1-2", "bytes=-"):
        assert get(store, "call.wav", range=text).status == 200


def test_a_body_must_fit_its_checksums(store: Store) -> None:
    wrong = base64_md5(b"noise")
    sha256 = base64.b64encode(hashlib.sha256(b"noise").digest()).decode()

    put(store, "call.wav", content_md5=base64_md5(b"sound"))
    assert refusal(put, store, "call.wav", content_md5=wrong) == (400, "UnmatchedContentMD5")
    assert refusal(put, store, "call.wav", content_md5="??") == (400, "InvalidContentMD5")
    assert refusal(put, store, "call.wav", opc_content_sha256=sha256) == (400, "UnmatchedContentChecksum")
    assert refusal(put, store, "call.wav", opc_content_crc32c="AAAAAA==") == (400, "UnmatchedContentChecksum")


def test_too_large_is_refused(store: Store, emu: Emulator) -> None:
    emu.switch(max_object_bytes=4)

    assert refusal(put, store, "call.wav", b"sound") == (413, "RequestEntityTooLarge")


def test_archived_objects_are_listed_but_not_read(store: Store) -> None:
    put(store, "old.wav", storage_tier="Archive")

    assert store.head_object(NS, BUCKET, "old.wav").headers["archival-state"] == "Archived"
    assert refusal(get, store, "old.wav") == (409, "NotRestored")


def test_a_url_overrides_headers_of_the_answer(store: Store) -> None:
    put(store, "call.wav")

    found = get(store, "call.wav", http_response_content_type="audio/x-wav")

    assert found.headers["content-type"] == "audio/x-wav"


def test_rename_and_copy(store: Store) -> None:
    models = oci.object_storage.models
    put(store, "a")
    put(store, "taken")

    store.rename_object(NS, BUCKET, models.RenameObjectDetails(source_name="a", new_name="b"))
    blocked = models.RenameObjectDetails(source_name="b", new_name="taken", new_obj_if_none_match_e_tag="*")
    assert refusal(store.rename_object, NS, BUCKET, blocked) == (412, "IfNoneMatchFailed")
    copied = models.CopyObjectDetails(
        source_object_name="b", destination_region="eu-frankfurt-1", destination_namespace=NS,
        destination_bucket=BUCKET, destination_object_name="c",
    )  # fmt: skip
    assert store.copy_object(NS, BUCKET, copied).headers["opc-work-request-id"]
    assert names(store) == ["b", "c", "taken"]


def test_buckets_come_and_go(store: Store) -> None:
    details = oci.object_storage.models.CreateBucketDetails(name="new", compartment_id="ocid1.compartment.oc1..emu")

    store.create_bucket(NS, details)

    assert refusal(store.create_bucket, NS, details) == (409, "BucketAlreadyExists")
    assert {bucket.name for bucket in store.list_buckets(NS, "ocid1.compartment.oc1..emu").data} == {BUCKET, "new"}
    assert store.head_bucket(NS, "new").headers["etag"] == store.get_bucket(NS, "new").data.etag
    put(store, "call.wav")
    assert refusal(store.delete_bucket, NS, BUCKET) == (409, "BucketNotEmpty")
    store.delete_bucket(NS, "new")
    assert refusal(store.get_bucket, NS, "new") == (404, "BucketNotFound")


def test_dates_follow_virtual_time(store: Store, emu: Emulator) -> None:
    put(store, "call.wav")
    before = store.list_objects(NS, BUCKET, fields="timeModified").data.objects[0].time_modified

    emu.advance(7200)
    put(store, "call.wav")

    after = store.list_objects(NS, BUCKET, fields="timeModified,timeCreated").data.objects[0]
    assert 7200 <= (after.time_modified - before).total_seconds() < 7260
    assert after.time_created == before


def test_changes_are_told_as_events(store: Store, emu: Emulator) -> None:
    emu.create_bucket("watched", events=True)
    queue = emu.create_queue("jobs")
    emu.forward_events("watched", queue)

    for _ in range(2):
        etag = store.put_object(NS, "watched", "a b.wav", b"sound").headers["etag"]
    store.delete_object(NS, "watched", "a b.wav")
    put(store, "call.wav")

    told = emu.events()
    assert [event["eventType"].rpartition(".")[2] for event in told] == ["createobject", "updateobject", "deleteobject"]
    assert told[1]["data"]["resourceName"] == "a b.wav"
    assert told[1]["data"]["additionalDetails"]["eTag"] == etag
    assert [json.loads(message["content"]) for message in emu.dump()["queues"][queue]] == told


def test_what_the_worker_calls_an_object_is_one_here(store: Store) -> None:
    uri = ObjectUri.parse(f"oci://{BUCKET}@{NS}/deep/a b.wav")

    put(store, uri.key)

    assert names(store) == ["deep/a b.wav"]
