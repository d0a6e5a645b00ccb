"""The real SDK on the emulator, in short words."""

from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient as Store

__all__ = ["BUCKET", "NS", "Store", "get", "names", "put", "refusal", "store_client"]

BUCKET = "audio"
NS = "emu"
TIMEOUT_S = (2.0, 2.0)
"""To connect, and between two reads."""


def store_client(url: str, config: dict[str, Any], **more: Any) -> Store:
    """It tries once: what it meets, the test sees."""
    return Store(
        config,
        service_endpoint=url,
        timeout=TIMEOUT_S,
        retry_strategy=oci.retry.NoneRetryStrategy(),
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
        **more,
    )


def put(store: Store, name: str, body: bytes = b"sound", **headers: Any) -> Any:
    """Returns the answer's headers."""
    return store.put_object(NS, BUCKET, name, body, **headers).headers


def get(store: Store, name: str, **headers: Any) -> Any:
    return store.get_object(NS, BUCKET, name, **headers)


def refusal(call: Any, *args: Any, **keywords: Any) -> tuple[int, str | None]:
    """How a call is refused: status and code."""
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        call(*args, **keywords)
    return caught.value.status, caught.value.code


def names(store: Store, **query: Any) -> list[str]:
    return [found.name for found in store.list_objects(NS, BUCKET, **query).data.objects]
