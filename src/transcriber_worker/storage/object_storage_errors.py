"""What the faults of Object Storage mean for the worker."""

from typing import NoReturn

from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.oci_access.faults import Fault, code_of, describe, fault_of
from transcriber_worker.storage.base import ConditionFailed, ObjectNotFound

OBJECT_NOT_FOUND = "ObjectNotFound"
_NOT_RESTORED = "NotRestored"
_INVALID_NAME = "InvalidObjectName"


def fail_reading(error: Exception, uri: ObjectUri) -> NoReturn:
    """Raise what a failed read of an object means; what is no fault of the service is raised as it is."""
    match fault_of(error):
        case Fault.NOT_FOUND | Fault.DENIED:
            raise ObjectNotFound(f"{uri} ({describe(error)})") from error
        case Fault.CONFLICT if code_of(error) == _NOT_RESTORED:
            message = f"{uri} is archived: restore it, then ask again"
            raise RejectJob(Reason.SOURCE_NOT_FOUND, message) from error
        case Fault.INVALID if code_of(error) == _INVALID_NAME:
            raise ObjectNotFound(f"{uri} can't be the name of an object") from error
    _fail(error, uri)


def fail_changing(error: Exception, uri: ObjectUri, permission: str) -> NoReturn:
    """Raise what a failed write, delete or list means. `permission`: the policy's words for what it takes."""
    match fault_of(error):
        case Fault.NOT_FOUND | Fault.DENIED:
            message = (
                f"there is no bucket {uri.authority}, or the worker's policy lacks `{permission}` there "
                f"({describe(error)})"
            )
            raise EnvironmentDown(message) from error
        case Fault.INVALID if code_of(error) == _INVALID_NAME:
            raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, f"{uri} can't be the name of an object") from error
    _fail(error, uri)


def _fail(error: Exception, uri: ObjectUri) -> NoReturn:
    told = describe(error)
    match fault_of(error):
        case None:
            raise error
        case Fault.CREDENTIALS:
            message = f"Object Storage refuses the worker's credentials ({told}): check oci.auth and this host's clock"
            raise EnvironmentDown(message, PauseReason.CREDENTIALS) from error
        case Fault.CONDITION:
            raise ConditionFailed(f"{uri} is another version") from error
        case Fault.INVALID | Fault.RANGE:
            # Within the attempt bound: a request of ours that can never be right must not stop everybody.
            raise RetryJob(f"Object Storage refuses a request for {uri} ({told})") from error
    raise EnvironmentDown(f"Object Storage, bucket {uri.authority}: {told}") from error
