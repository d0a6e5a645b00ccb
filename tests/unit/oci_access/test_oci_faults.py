"""What the SDK raises, as few faults."""

import http.client
import ssl

import pytest
import urllib3.exceptions
from oci._vendor.requests.exceptions import ChunkedEncodingError, ReadTimeout
from oci._vendor.requests.exceptions import ConnectionError as NoConnection
from oci.auth.signers import SecurityTokenSigner
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.exceptions import ConnectTimeout, InvalidConfig, RequestException, ServiceError
from oci.queue import QueueClient

from tests.oci_emulator.credentials import new_token, some_key
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.oci_access.faults import Fault, code_of, describe, fault_of


def service_error(status: int, code: str | None = None) -> ServiceError:
    return ServiceError(status, code, {"opc-request-id": "abc/123"}, "words", request_endpoint="GET https://x/secret")


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Fault.INVALID), (401, Fault.CREDENTIALS), (403, Fault.DENIED), (404, Fault.NOT_FOUND),
        (405, Fault.INVALID), (408, Fault.DOWN), (409, Fault.CONFLICT), (410, Fault.NOT_FOUND),
        (412, Fault.CONDITION), (413, Fault.INVALID), (416, Fault.RANGE), (429, Fault.THROTTLED),
        (304, Fault.DOWN), (500, Fault.DOWN), (501, Fault.DOWN), (503, Fault.DOWN),
    ],
)  # fmt: skip
def test_an_answer_s_status_tells(status: int, fault: Fault) -> None:
    assert fault_of(service_error(status)) is fault


def test_a_body_damaged_on_its_way_is_no_mistake_of_ours() -> None:
    assert fault_of(service_error(400, "UnmatchedContentMD5")) is Fault.DOWN


@pytest.mark.parametrize(
    "error",
    [
        RequestException(NoConnection("refused")), ConnectTimeout("late"), ReadTimeout(), ChunkedEncodingError(),
        urllib3.exceptions.ProtocolError("reset"), urllib3.exceptions.ReadTimeoutError(None, "", ""),  # type: ignore[arg-type]
        http.client.ResponseNotReady(), http.client.IncompleteRead(b""), ConnectionResetError(), TimeoutError(),
        ssl.SSLError(), TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_no_answer_is_an_outage(error: Exception) -> None:
    assert fault_of(error) is Fault.DOWN


def test_a_configuration_that_can_t_be_used_is_a_matter_of_credentials() -> None:
    assert fault_of(InvalidConfig({"user": "missing"})) is Fault.CREDENTIALS


def test_an_answer_that_the_sdk_stumbles_over_is_an_outage() -> None:
    """It raises a bare TypeError for JSON with control characters."""
    client = QueueClient(
        {}, signer=SecurityTokenSigner(new_token(some_key(), 60), some_key()), service_endpoint="http://127.0.0.1",
        circuit_breaker_strategy=NoCircuitBreakerStrategy(),
    )  # fmt: skip

    with pytest.raises((TypeError, ValueError)) as raised:
        client.base_client.deserialize_response_data(b'{"messages":[{"content":"\x01"}]}', "GetMessages", None)

    assert fault_of(raised.value) is Fault.DOWN


@pytest.mark.parametrize(
    "error", [TypeError("ours"), ValueError("ours"), EnvironmentDown("ours"), FileNotFoundError("ours"), KeyError("x")]
)
def test_what_is_ours_is_no_fault_of_a_service(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        raise error

    assert fault_of(raised.value) is None


def test_a_description_names_the_request_and_no_url() -> None:
    assert describe(service_error(404, "BucketNotFound")) == "status 404 BucketNotFound (opc-request-id abc/123)"
    assert describe(service_error(404)) == "status 404 (opc-request-id abc/123)"


def test_a_description_goes_to_the_root() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RequestException("https://host/secret") from error
    except RequestException as error:
        assert describe(error) == "Connection refused"


def test_codes_are_the_service_s_own() -> None:
    assert code_of(service_error(404, "ObjectNotFound")) == "ObjectNotFound"
    assert code_of(service_error(404)) is None
    assert code_of(ValueError()) is None


def test_a_code_that_is_no_text_says_nothing() -> None:
    """Whatever stands between us and the service may answer any JSON."""
    assert fault_of(ServiceError(503, ["x"], {}, "")) is Fault.DOWN
    assert code_of(ServiceError(503, ["x"], {}, "")) is None
