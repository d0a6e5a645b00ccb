"""Where torch computes, with the habits of a GPU: nothing can be read before it was waited for, and things go wrong."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transcriber_worker.inference.batched.torch_encoder.device import CpuDevice


class _Asked(TorchDispatchMode):
    """Tells of everything that torch is asked to compute."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tell()
        return func(*args, **(kwargs or {}))


class FakeGpu:
    """A `Device` that writes down what is asked of it, and fails as told.

    `trouble(number)` is called at the end of each turn, of which this is the number-th, from 1: it raises what the GPU
    would. States that are handed over when something was asked for since it was last settled are not there yet: they
    are noughts.
    """

    place = torch.device("cpu")

    def __init__(self, trouble: Callable[[int], None] = lambda number: None, *, settles: bool = True) -> None:
        self._inside = CpuDevice(1)
        self._trouble = trouble
        self._settles = settles
        self._turns = 0
        self._settled = True
        self._owner: int | None = None
        self.log: list[str] = []

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._inside.turn(), _Asked(self._pend):
            self._owner = threading.get_ident()
            self._turns += 1
            self.log.append("turn")
            try:
                yield
                self._trouble(self._turns)
            finally:
                self._owner = None

    def _pend(self) -> None:
        self._settled = False

    def settle(self) -> None:
        assert self._owner == threading.get_ident(), "settled without a turn"
        self._settled = self._settles
        self.log.append("settle")

    def picked(self, states: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        self.log.append("pick")
        return self._inside.picked(states, rows)

    def hand_over(self, states: torch.Tensor) -> Any:
        self.log.append("hand over")
        return self._inside.hand_over(states if self._settled else torch.zeros_like(states))

    def trim(self) -> None:
        self.log.append("trim")
