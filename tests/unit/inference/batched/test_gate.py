"""Who is in the model at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from transcriber_worker.inference.batched.gate import Gate

TIMEOUT_S = 20.0
A_MOMENT_S = 0.05
"""Somebody who need not wait is inside long before."""


class Visitor:
    """Goes in on a thread of its own, and stays until it is sent out."""

    def __init__(self, gate: Gate, *, alone: bool = False) -> None:
        self.entered = threading.Event()
        self._sent_out = threading.Event()
        self._thread = threading.Thread(target=self._visit, args=(gate, alone), daemon=True)
        self._thread.start()

    def _visit(self, gate: Gate, alone: bool) -> None:
        with gate.inside(alone=alone):
            self.entered.set()
            self._sent_out.wait(TIMEOUT_S)

    def is_kept_out(self) -> bool:
        return not self.entered.wait(A_MOMENT_S)

    def stay_no_longer(self) -> None:
        """Than it takes to go in and out, whenever that is."""
        self._sent_out.set()

    def leave(self) -> None:
        assert self.entered.wait(TIMEOUT_S)
        self.stay_no_longer()
        self._thread.join(TIMEOUT_S)


def test_batches_are_inside_side_by_side() -> None:
    gate, together = Gate(), threading.Barrier(3)

    def enter(_: int) -> None:
        with gate.inside(alone=False):
            together.wait(TIMEOUT_S)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(enter, range(3)))


def test_who_goes_in_alone_waits_for_the_others_who_then_wait_for_it() -> None:
    gate = Gate()
    first = Visitor(gate)
    assert first.entered.wait(TIMEOUT_S)
    alone = Visitor(gate, alone=True)
    assert alone.is_kept_out()
    others = [Visitor(gate), Visitor(gate, alone=True)]
    assert all(other.is_kept_out() for other in others)  # it would never be its turn otherwise
    first.leave()
    assert alone.entered.wait(TIMEOUT_S)
    assert all(other.is_kept_out() for other in others)
    alone.leave()
    for other in others:
        other.stay_no_longer()
    for other in others:
        other.leave()


@pytest.mark.parametrize("alone", [True, False])
def test_a_block_that_fails_leaves_the_gate_open(alone: bool) -> None:
    gate = Gate()
    with pytest.raises(MemoryError), gate.inside(alone=alone):
        raise MemoryError
    Visitor(gate, alone=True).leave()
