"""What a Kafka server for tests runs on: the seam between the ways of having one."""

from dataclasses import dataclass
from typing import Protocol


class NotToBeHad(Exception):
    """This way of having a Kafka is not open here; the message says why."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the listeners listen, on 127.0.0.1."""

    plaintext: int
    sasl_plaintext: int
    sasl_ssl: int
    ssl: int
    controller: int


class Machine(Protocol):
    """One broker that can be killed and started again, with its data and its ports."""

    def start(self) -> None:
        """Returns once the process runs; it may not answer yet."""
        ...

    def kill(self) -> None:
        """End it as SIGKILL does; it is gone when this returns. One that is gone already is no error."""
        ...

    def remove(self) -> None:
        """End it and leave nothing outside its folder."""
        ...

    def log(self) -> str:
        """Its last words."""
        ...
