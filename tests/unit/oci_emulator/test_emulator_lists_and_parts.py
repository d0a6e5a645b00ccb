"""Object Storage as the real SDK sees it: lists, and uploads in parts."""

import io
from typing import Any

import oci
import pytest

from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, get, names, put, refusal


def test_lists_are_sorted_filtered_and_paged(store: Store) -> None:
    for name in ["b/2", "a/1", "b/1", "c", "b/10", "é"]:
        put(store, name)

    assert names(store) == ["a/1", "b/1", "b/10", "b/2", "c", "é"]
    assert names(store, prefix="b/") == ["b/1", "b/10", "b/2"]
    assert names(store, start="b/10", end="c") == ["b/10", "b/2"]
    assert names(store, start_after="b/10") == ["b/2", "c", "é"]
    page = store.list_objects(NS, BUCKET, limit=2).data
    assert ([found.name for found in page.objects], page.next_start_with) == (["a/1", "b/1"], "b/10")
    assert store.list_objects(NS, BUCKET, limit=6).data.next_start_with is None
    everything = oci.pagination.list_call_get_all_results(store.list_objects, NS, BUCKET, limit=2).data.objects
    assert [found.name for found in everything] == names(store)


def test_a_delimiter_folds_folders(store: Store) -> None:
    for name in ["a", "b/1", "b/2", "b/c/3", "d/1"]:
        put(store, name)

    folded = store.list_objects(NS, BUCKET, delimiter="/").data
    below = store.list_objects(NS, BUCKET, delimiter="/", prefix="b/").data
    page = store.list_objects(NS, BUCKET, delimiter="/", limit=2).data

    assert ([found.name for found in folded.objects], folded.prefixes) == (["a"], ["b/", "d/"])
    assert ([found.name for found in below.objects], below.prefixes) == (["b/1", "b/2"], ["b/c/"])
    assert (page.prefixes, page.next_start_with) == (["b/"], "d/1")


def test_a_list_tells_only_what_was_asked_for(store: Store) -> None:
    etag = put(store, "call.wav")["etag"]

    (bare,) = store.list_objects(NS, BUCKET).data.objects
    (full,) = store.list_objects(
        NS, BUCKET, fields="name,size,etag,md5,timeCreated,timeModified,storageTier"
    ).data.objects

    assert (bare.size, bare.etag, bare.md5) == (None, None, None)
    assert (full.size, full.etag, full.storage_tier) == (5, etag, "Standard")
    assert full.time_modified == full.time_created


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 0}, "InvalidLimit"),
        ({"limit": 1001}, "InvalidLimit"),
        ({"delimiter": "-"}, "InvalidParameter"),
        ({"fields": "colour"}, "InvalidParameter"),
    ],
)
def test_nonsense_in_a_list_is_refused(store: Store, query: dict[str, Any], code: str) -> None:
    assert refusal(store.list_objects, NS, BUCKET, **query) == (400, code)


def test_an_upload_in_parts_becomes_one_object_without_an_md5(store: Store) -> None:
    details = oci.object_storage.models.CreateMultipartUploadDetails(
        object="long.wav", content_type="audio/wav", metadata={"opc-meta-job": "7"}
    )
    upload = store.create_multipart_upload(NS, BUCKET, details).data.upload_id
    etags = [store.upload_part(NS, BUCKET, "long.wav", upload, number, part).headers["etag"]
             for number, part in ((1, b"first,"), (2, b"second"))]  # fmt: skip
    assert [part.part_number for part in store.list_multipart_upload_parts(NS, BUCKET, "long.wav", upload).data] == [
        1,
        2,
    ]
    assert names(store) == []
    parts = [
        oci.object_storage.models.CommitMultipartUploadPartDetails(part_num=number, etag=etag)
        for number, etag in enumerate(etags, 1)
    ]
    commit = oci.object_storage.models.CommitMultipartUploadDetails(parts_to_commit=parts)

    store.commit_multipart_upload(NS, BUCKET, "long.wav", upload, commit)

    found = get(store, "long.wav")
    assert found.data.content == b"first,second"
    assert found.headers["opc-multipart-md5"].endswith("-2")
    assert "content-md5" not in found.headers
    assert (found.headers["content-type"], found.headers["opc-meta-job"]) == ("audio/wav", "7")
    assert store.list_multipart_uploads(NS, BUCKET).data == []


def test_parts_that_were_not_uploaded_cannot_be_committed(store: Store) -> None:
    models = oci.object_storage.models
    upload = store.create_multipart_upload(NS, BUCKET, models.CreateMultipartUploadDetails(object="x")).data.upload_id
    part = models.CommitMultipartUploadPartDetails(part_num=1, etag="unknown")
    commit = models.CommitMultipartUploadDetails(parts_to_commit=[part])

    assert refusal(store.commit_multipart_upload, NS, BUCKET, "x", upload, commit) == (400, "InvalidUploadPart")
    store.abort_multipart_upload(NS, BUCKET, "x", upload)
    assert refusal(store.upload_part, NS, BUCKET, "x", upload, 1, b"") == (404, "UploadNotFound")


def test_the_sdks_upload_manager_works(store: Store) -> None:
    manager = oci.object_storage.UploadManager(store, allow_parallel_uploads=False)

    manager.upload_stream(NS, BUCKET, "stream.wav", io.BytesIO(b"s" * 25_000_000), part_size=10 * 2**20)

    assert store.head_object(NS, BUCKET, "stream.wav").headers["content-length"] == "25000000"
