"""What the SDK raises, as the few things that an adapter has to tell apart. This table is the only one."""

import http.client
import ssl
from enum import StrEnum, auto
from types import TracebackType

import urllib3.exceptions
from oci._vendor.requests import exceptions as sdk_transport
from oci.exceptions import ClientError, ConnectTimeout, RequestException, ServiceError


class Fault(StrEnum):
    """Why a call to a service failed."""

    CREDENTIALS = auto()
    """The service does not believe who we are, or there is nothing to prove it with."""
    DENIED = auto()
    """It knows us and says no; mostly told as NOT_FOUND."""
    NOT_FOUND = auto()
    """It is not there, or we may not see it: the services tell the two apart for nobody."""
    CONDITION = auto()
    """Another version than the one that was asked for."""
    CONFLICT = auto()
    """Something else is being done to it just now, or its state forbids it."""
    THROTTLED = auto()
    DOWN = auto()
    """No answer, half an answer, or one that owns up to a failure of the service."""
    RANGE = auto()
    """The object ends before the bytes that were asked for."""
    INVALID = auto()
    """The service understood the request and finds it wrong."""


_BY_STATUS = {
    401: Fault.CREDENTIALS,
    403: Fault.DENIED,
    404: Fault.NOT_FOUND,
    408: Fault.DOWN,
    409: Fault.CONFLICT,
    410: Fault.NOT_FOUND,
    412: Fault.CONDITION,
    416: Fault.RANGE,
    429: Fault.THROTTLED,
}
_BY_CODE = {
    "UnmatchedContentMD5": Fault.DOWN,  # damaged on its way
}
_NO_ANSWER = (
    RequestException,
    ConnectTimeout,
    sdk_transport.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def fault_of(error: BaseException) -> Fault | None:
    """What an exception of the SDK, or of what it is built on, means; None where it is somebody else's."""
    if isinstance(error, ServiceError):
        by_status = Fault.INVALID if 400 <= error.status < 500 else Fault.DOWN
        return _BY_CODE.get(code_of(error) or "") or _BY_STATUS.get(error.status, by_status)
    if isinstance(error, _NO_ANSWER):
        return Fault.DOWN
    if isinstance(error, ClientError):
        return Fault.CREDENTIALS  # a configuration or a key that can't be used
    # An answer that is no JSON, or not of the shape the SDK expects, is a bare error from deep inside it.
    if isinstance(error, TypeError | ValueError) and _raised_while_decoding(error.__traceback__):
        return Fault.DOWN
    return None


def code_of(error: BaseException) -> str | None:
    """The service's own code, such as `ObjectNotFound`; None where it gave none, as in every answer to a HEAD."""
    return error.code if isinstance(error, ServiceError) and isinstance(error.code, str) else None


def describe(error: BaseException) -> str:
    """An SDK's exception for humans, without the URL and the advertising that it carries."""
    if isinstance(error, ServiceError):
        code = f" {error.code}" if error.code else ""
        request = f" (opc-request-id {error.request_id})" if error.request_id else ""
        return f"status {error.status}{code}{request}"
    root = _root(error)
    return root.strerror if isinstance(root, OSError) and root.strerror else type(root).__name__


def _root(error: BaseException) -> BaseException:
    """What the layers of HTTP libraries have wrapped up: a refused connection, a timeout."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _raised_while_decoding(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "oci.base_client"
