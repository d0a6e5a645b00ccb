"""From a request to its answer: which service it is for, who signed it, and what goes wrong with it."""

import gzip
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.oci_emulator.clock import VirtualClock
from tests.oci_emulator.faults import BY_SERVER, Effect, Fault, FaultKind, Faults
from tests.oci_emulator.objects import ObjectStorage
from tests.oci_emulator.requests_log import RequestsLog
from tests.oci_emulator.signatures import Signatures
from tests.oci_emulator.wire import Request, Response, Service, ServiceFault, fault_response, http_date

_BODY_CHECKSUMS = ("content-md5", "opc-content-md5", "opc-multipart-md5")


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send, and how: `fault` is what the transport still has to do. Without a response the connection is
    reset."""

    response: Response | None
    fault: Fault | None


class Application:
    """Thread-safe, as its services are."""

    def __init__(
        self, clock: VirtualClock, faults: Faults, signatures: Signatures, log: RequestsLog,
        objects: ObjectStorage, others: Sequence[Service] = (),
    ) -> None:  # fmt: skip
        self.clock = clock
        self.faults = faults
        self._signatures = signatures
        self._log = log
        self._objects = objects
        self._services: list[Service] = [objects, *others]

    def answer(self, request: Request) -> Answer:
        service, operation = self._routed(request)
        fault = self.faults.take(operation, request.path, *BY_SERVER)
        response: Response | None
        if fault and fault.kind in (FaultKind.ANSWER, FaultKind.RESET) and not fault.committed:
            response = _injected(fault)
        else:
            response = self._carried_out(request, service, operation)
            if fault and fault.kind in (FaultKind.ANSWER, FaultKind.RESET):
                response = _injected(fault)
        if fault and fault.then is not Effect.NOTHING:
            self._objects.meddle(request, fault.then)
        if response is not None:
            response = self._finished(request, _garbled(response, fault))
        status = response.status if response else None
        self._log.add(request, operation, status, fault.kind if fault else "")
        return Answer(response, fault)

    def _routed(self, request: Request) -> tuple[Service | None, str]:
        for service in self._services:
            if (operation := service.operation(request)) is not None:
                return service, operation
        return None, "Unknown"

    def _carried_out(self, request: Request, service: Service | None, operation: str) -> Response:
        try:
            if not (service is self._objects and self._objects.is_anonymous(request)):
                self._signatures.check(request, operation, self.faults.switched("skew_s", 0.0))
            response = service.handle(request) if service else None
        except ServiceFault as fault:
            return fault_response(fault)
        if response is None:
            nothing = ServiceFault(
                404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found"
            )
            return fault_response(nothing)
        return response

    def _finished(self, request: Request, response: Response) -> Response:
        headers = dict(response.headers)
        headers["date"] = http_date(self.clock.now())
        headers["opc-request-id"] = f"emu/{uuid.uuid4().hex.upper()}"
        if (echoed := request.headers.get("opc-client-request-id")) is not None:
            headers["opc-client-request-id"] = echoed
        return replace(response, headers=headers)


def _injected(fault: Fault) -> Response | None:
    if fault.kind is FaultKind.RESET:
        return None
    if fault.body is not None:
        return Response(fault.status, {"content-type": "text/html", **fault.headers}, fault.body.encode())
    return fault_response(ServiceFault(fault.status, fault.code, fault.message, fault.headers))


def _garbled(response: Response, fault: Fault | None) -> Response:
    """What a fault does to the content; what it does to the connection comes later."""
    kind = fault.kind if fault else None
    if kind is FaultKind.CORRUPT and response.body:
        assert fault is not None
        body = bytearray(response.body)
        body[fault.at_bytes % len(body)] ^= 0xFF
        return replace(response, body=bytes(body))
    if kind is FaultKind.NO_MD5:
        kept = {name: value for name, value in response.headers.items() if name not in _BODY_CHECKSUMS}
        return replace(response, headers=kept)
    if kind is FaultKind.GZIP:
        return replace(
            response, headers={**response.headers, "content-encoding": "gzip"}, body=gzip.compress(response.body)
        )
    return response
