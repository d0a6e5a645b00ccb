"""What goes wrong, and when: faults choose requests by operation and name, and are used up or drawn by chance."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """Down to CLOSE_AFTER the server itself does them, to any service; the others a service asks for by `take`."""

    ANSWER = "answer"
    """Another answer: status, code, message, headers, body (for JSON errors leave the body None)."""
    RESET = "reset"
    """No answer at all: the connection is reset once the request was read."""
    SLOW_HEADERS = "slow_headers"
    """`seconds` pass before the first byte."""
    DRIP = "drip"
    """The body comes in pieces of `at_bytes`, `seconds` apart."""
    STALL = "stall"
    """After `at_bytes` of the body nothing comes for `seconds`; then the connection ends."""
    RESET_BODY = "reset_body"
    """RST after `at_bytes` of the body."""
    FIN_BODY = "fin_body"
    """A clean end of the connection after `at_bytes` of the body."""
    WRONG_LENGTH = "wrong_length"
    """content-length is off by `at_bytes`, which may be negative; the connection ends after the body."""
    CORRUPT = "corrupt"
    """The byte at `at_bytes` (from the end where negative) is another one; its checksums stay."""
    NO_MD5 = "no_md5"
    """No checksum in the headers."""
    GZIP = "gzip"
    """The body is compressed on its way (content-encoding: gzip); checksums stay those of the object."""
    EFFECT = "effect"
    """A proper answer, and then only what `then` says."""
    RESET_NEXT = "reset_next"
    """A proper answer; the connection is reset as soon as the next request comes over it."""
    CLOSE_AFTER = "close_after"
    """A proper answer, after which the connection ends without having said so."""

    STALE_RECEIPT = "stale_receipt"
    """Queue: how a receipt that is no longer valid is answered: status, code."""
    EARLY_EMPTY_POLL = "early_empty_poll"
    """Queue: a long poll ends at once, empty, whatever there is."""
    DUPLICATE = "duplicate"
    """Queue: the messages handed out stay visible to others as well."""
    ENTRY_FAILURE = "entry_failure"
    """Queue: single entries of a batch fail: status, code (below 500 it is a client failure)."""


BY_SERVER = frozenset(list(FaultKind)[: list(FaultKind).index(FaultKind.CLOSE_AFTER) + 1])


class Effect(StrEnum):
    """What else happens to the object after the answer was made up."""

    NOTHING = ""
    REPLACE = "replace"
    """Another version of the same size, with other bytes and another ETag."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Fault:
    """`operation`: a name of Oracle's specification, or "*". `target`: what the decoded path contains, such as an
    object's or a queue's name. `times`: how often, None for always. `skip`: so many requests pass before.
    `committed`: the operation was carried out, only its answer is lost or other (ANSWER, RESET)."""

    kind: FaultKind
    operation: str = "*"
    target: str = ""
    times: int | None = 1
    probability: float = 1.0
    skip: int = 0
    status: int = 500
    code: str = "InternalServerError"
    message: str = "An injected fault"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    committed: bool = False
    at_bytes: int = 0
    seconds: float = 0.0
    then: Effect = Effect.NOTHING

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Fault":
        """As it comes over the control API; raises `ValueError` or `TypeError` for what is no fault."""
        return cls(**{**fields, "kind": FaultKind(fields["kind"]), "then": Effect(fields.get("then", ""))})

    def concerns(self, operation: str, path: str) -> bool:
        return self.operation in ("*", operation) and self.target in path


@dataclass(slots=True)
class _Planned:
    fault: Fault
    met: int = 0
    fired: int = 0

    def fires(self, chance: random.Random) -> bool:
        """Count one request that it concerns; whether it happens to it."""
        if self.fault.times is not None and self.fired >= self.fault.times:
            return False
        self.met += 1
        if self.met <= self.fault.skip or chance.random() >= self.fault.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The plan of faults, and switches of semantics that hold until changed. Thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._chance = random.Random(seed)
        self._switches: dict[str, Any] = {}

    def add(self, fault: Fault) -> int:
        """Returns its number, for `fired`."""
        with self._lock:
            self._planned.append(_Planned(fault))
            return len(self._planned) - 1

    def fired(self) -> list[int]:
        """How often each has happened, in the order they were added."""
        with self._lock:
            return [planned.fired for planned in self._planned]

    def clear(self, seed: int | None = None) -> None:
        """Forget all faults and switches; with a seed chance begins anew."""
        with self._lock:
            self._planned.clear()
            self._switches.clear()
            if seed is not None:
                self._chance.seed(seed)

    def take(self, operation: str, path: str, *kinds: FaultKind) -> Fault | None:
        """The first fault of these kinds that happens to this request, counted as having happened."""
        with self._lock:
            for planned in self._planned:
                fault = planned.fault
                if fault.kind in kinds and fault.concerns(operation, path) and planned.fires(self._chance):
                    return fault
        return None

    def switch(self, name: str, value: Any) -> None:
        with self._lock:
            self._switches[name] = value

    def switched(self, name: str, default: Any) -> Any:
        """The value of a switch, such as `switched("stale_receipt_strict", False)`."""
        with self._lock:
            return self._switches.get(name, default)
