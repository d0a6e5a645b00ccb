"""Time that moves only when told to, and time that moves by itself."""

import threading

from transcriber_worker.domain.clock import Clock, ManualClock, SystemClock


def test_it_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(100.0)

    assert (clock.now(), clock.monotonic(), clock.now()) == (100.0, 100.0, 100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 102.5)


def test_waiting_moves_it() -> None:
    clock = ManualClock(100.0)

    assert clock.wait(threading.Event(), 5.0) is False
    assert clock.now() == 105.0


def test_waiting_for_what_has_happened_does_not_move_it() -> None:
    clock, happened = ManualClock(100.0), threading.Event()
    happened.set()

    assert clock.wait(happened, 5.0) is True
    assert clock.now() == 100.0


def test_waiting_for_less_than_nothing_does_not_turn_it_back() -> None:
    clock = ManualClock(100.0)

    clock.wait(threading.Event(), -5.0)

    assert clock.now() == 100.0


def test_the_system_s_clock_waits_for_the_event() -> None:
    clock: Clock = SystemClock()
    happened = threading.Event()
    helper = threading.Thread(target=happened.set)
    before = clock.monotonic()
    helper.start()

    assert clock.wait(happened, 60.0) is True
    assert clock.wait(threading.Event(), -1.0) is False
    assert clock.monotonic() >= before
    helper.join()
