"""Who may come in: signatures by the real SDK, and some that it would never make."""

import dataclasses
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import oci
import pytest

from tests.oci_emulator.client import Emulator
from tests.oci_emulator.credentials import TENANCY, USER, new_key, private_pem
from tests.oci_emulator.signatures import Checking
from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, names, put, refusal, store_client

BODY = ["content-length", "content-type", "x-content-sha256"]


@dataclasses.dataclass
class Keys:
    """Signs as the SDK does, with headers of choice."""

    config: dict[str, Any]

    def signed(self, method: str, url: str, body: bytes = b"", *, headers: list[str], **given: str) -> httpx.Request:
        signer = oci.Signer.from_config(self.config)
        signer.create_signers(signer.api_key, signer.private_key, headers, [])
        target = httpx.URL(url)
        fields = {"date": formatdate(usegmt=True), "host": target.netloc.decode(), **given}
        fields |= {"content-length": str(len(body)), "content-type": "application/json"} if body else {}
        prepared = oci._vendor.requests.Request(method, url, headers=fields, data=body).prepare()
        signed = signer.do_request_sign(prepared, enforce_content_headers=False)
        return httpx.Request(method, url, headers=dict(signed.headers), content=body)


@pytest.fixture
def keys(config: dict[str, Any]) -> Keys:
    return Keys(config)


def sent(request: httpx.Request) -> int:
    with httpx.Client() as client:
        return client.send(request).status_code


def test_a_key_that_is_not_known_is_refused(emu: Emulator, tmp_path: Path) -> None:
    config = oci.config.from_file(str(emu.write_sdk_config(tmp_path, known=False)))

    assert refusal(store_client(emu.url, config).get_namespace) == (401, "NotAuthenticated")


def test_a_wrong_key_under_a_known_name_is_refused(emu: Emulator, config: dict[str, Any]) -> None:
    forged = {**config, "key_content": private_pem(new_key())}
    del forged["key_file"]

    assert refusal(store_client(emu.url, forged).get_namespace) == (401, "NotAuthenticated")
    assert refusal(put, store_client(emu.url, forged), "call.wav") == (401, "NotAuthenticated")
    assert emu.list_objects(BUCKET) == []


def test_a_revoked_key_is_refused(emu: Emulator, store: Store, config: dict[str, Any]) -> None:
    put(store, "call.wav")

    emu.revoke(f"{TENANCY}/{USER}/{config['fingerprint']}")

    assert refusal(put, store, "call.wav") == (401, "NotAuthenticated")


def test_every_kind_of_request_is_signed_well_by_the_sdk(store: Store) -> None:
    details = oci.object_storage.models.CreateBucketDetails(name="é b", compartment_id="c")

    store.create_bucket(NS, details)
    store.put_object(NS, "é b", "a/ü +.wav", b"sound")

    assert [found.name for found in store.list_objects(NS, "é b", prefix="a/ü").data.objects] == ["a/ü +.wav"]


@pytest.mark.parametrize("missing", ["date", "(request-target)", "host"])
def test_what_must_be_signed_is(emu: Emulator, keys: Keys, missing: str) -> None:
    every = ["date", "(request-target)", "host"]

    assert sent(keys.signed("GET", f"{emu.url}/n", headers=every)) == 200
    assert sent(keys.signed("GET", f"{emu.url}/n", headers=[name for name in every if name != missing])) == 401


def test_a_body_must_be_signed_but_for_objects(emu: Emulator, keys: Keys) -> None:
    bare = ["date", "(request-target)", "host"]
    wanted = b'{"name":"new","compartmentId":"c"}'

    assert sent(keys.signed("POST", f"{emu.url}/n/{NS}/b", wanted, headers=bare)) == 401
    assert sent(keys.signed("PUT", f"{emu.url}/n/{NS}/b/{BUCKET}/o/x", b"sound", headers=bare)) == 200


def test_another_body_than_the_signed_one_is_refused(emu: Emulator, keys: Keys) -> None:
    wanted = b'{"name":"new","compartmentId":"c"}'
    digest = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing
    headers = ["date", "(request-target)", "host", *BODY]

    request = keys.signed("POST", f"{emu.url}/n/{NS}/b", wanted, headers=headers, **{"x-content-sha256": digest})

    assert sent(request) == 401


@pytest.mark.parametrize(("age_s", "status"), [(-290, 200), (-310, 401), (310, 401)])
def test_old_signatures_are_refused_by_real_time(emu: Emulator, keys: Keys, age_s: float, status: int) -> None:
    emu.advance(86_400)  # virtual time has no say in it
    date = formatdate(time.time() + age_s, usegmt=True)

    assert sent(keys.signed("GET", f"{emu.url}/n", headers=["date", "(request-target)", "host"], date=date)) == status


def test_a_service_whose_clock_is_off_refuses_everybody(emu: Emulator, store: Store) -> None:
    emu.switch(skew_s=600)

    assert refusal(store.get_namespace) == (401, "NotAuthenticated")


def test_a_request_without_a_signature_is_refused(emu: Emulator) -> None:
    assert httpx.get(f"{emu.url}/n").status_code == 401
    assert httpx.get(f"{emu.url}/n", headers={"authorization": "Bearer x"}).status_code == 401


def test_checking_can_be_loosened(emu: Emulator, tmp_path: Path) -> None:
    config = oci.config.from_file(str(emu.write_sdk_config(tmp_path, known=False)))

    emu.check_signatures(Checking.PARSE)
    assert names(store_client(emu.url, config)) == []
    assert httpx.get(f"{emu.url}/n").status_code == 401
    emu.check_signatures(Checking.OFF)
    assert httpx.get(f"{emu.url}/n").status_code == 200


def test_session_tokens_are_keys_until_they_expire(emu: Emulator, tmp_path: Path) -> None:
    config = oci.config.from_file(str(emu.write_session_config(tmp_path, expires_in_s=600)))
    token = Path(config["security_token_file"]).read_text()
    key = oci.signer.load_private_key_from_file(config["key_file"])
    signer = oci.auth.signers.SecurityTokenSigner(token, key)
    store = store_client(emu.url, {}, signer=signer)
    put(store, "call.wav")

    emu.advance(601)

    assert refusal(put, store, "call.wav") == (401, "NotAuthenticated")
