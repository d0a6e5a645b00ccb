"""Tries of one request: how many, how long, for what."""

import threading
from collections.abc import Callable

import pytest
from oci.exceptions import RequestException, ServiceError

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.oci_access.retries import BoundedRetries, quick, steady


def service_error(status: int, code: str = "", **headers: str) -> ServiceError:
    return ServiceError(status, code, headers, "")


class Service:
    """Fails with these, one after another, and then answers."""

    def __init__(self, clock: ManualClock, *failures: Exception, takes_s: float = 0.0) -> None:
        self.asked: list[float] = []
        self._clock = clock
        self._failures = list(failures)
        self._takes_s = takes_s

    def __call__(self, word: str) -> str:
        self.asked.append(self._clock.now())
        self._clock.advance(self._takes_s)
        if self._failures:
            raise self._failures.pop(0)
        return word.upper()

    @property
    def pauses_s(self) -> list[float]:
        return [round(later - earlier, 6) for earlier, later in zip(self.asked, self.asked[1:], strict=False)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def retries(clock: ManualClock) -> BoundedRetries:
    return steady(clock, threading.Event(), 4)


@pytest.mark.parametrize("error", [service_error(429), service_error(500), RequestException("reset")])
def test_a_hiccup_is_passed_over(clock: ManualClock, retries: BoundedRetries, error: Exception) -> None:
    service = Service(clock, error, error, error)

    assert retries.make_retrying_call(service, "yes") == "YES"
    assert len(service.asked) == 4


def test_the_last_failure_is_raised(clock: ManualClock, retries: BoundedRetries) -> None:
    service = Service(clock, *(service_error(500 + n) for n in range(10)))

    with pytest.raises(ServiceError) as last:
        retries.make_retrying_call(service, "no")

    assert last.value.status == 503
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    "error",
    [service_error(400), service_error(401), service_error(404), service_error(412), ValueError("a bug of ours")],
)
def test_what_stays_as_it_is_is_not_asked_again(clock: ManualClock, retries: BoundedRetries, error: Exception) -> None:
    service = Service(clock, error)

    with pytest.raises(type(error)):
        retries.make_retrying_call(service, "no")
    assert len(service.asked) == 1


def test_pauses_grow_and_differ(clock: ManualClock) -> None:
    services = [Service(clock, *[service_error(500)] * 5) for _ in range(20)]
    for service in services:
        BoundedRetries(clock, threading.Event(), 6, 100.0).make_retrying_call(service, "yes")

    for service in services:
        assert all(0.2 * 2**n <= pause_s <= 0.4 * 2**n for n, pause_s in enumerate(service.pauses_s))
    assert len({service.pauses_s[0] for service in services}) > 10


def test_the_time_in_all_is_bounded_however_slow_the_answers(clock: ManualClock) -> None:
    service = Service(clock, *[service_error(500)] * 9, takes_s=8.0)

    with pytest.raises(ServiceError):
        BoundedRetries(clock, threading.Event(), 9, 20.0).make_retrying_call(service, "no")

    assert service.asked[-1] - service.asked[0] <= 20.0
    assert len(service.asked) == 3


def test_the_time_that_a_service_asks_for_is_given(clock: ManualClock, retries: BoundedRetries) -> None:
    service = Service(clock, service_error(429, **{"retry-after": "6"}))

    retries.make_retrying_call(service, "yes")

    assert service.pauses_s == [6.0]


@pytest.mark.parametrize("text", ["", "soon", "-5", "Sat, 21 Nov 2026 06:00:00 GMT"])
def test_a_time_that_can_t_be_read_is_none(clock: ManualClock, retries: BoundedRetries, text: str) -> None:
    service = Service(clock, service_error(429, **{"retry-after": text}))

    retries.make_retrying_call(service, "yes")

    assert 0.2 <= service.pauses_s[0] <= 0.4


@pytest.mark.parametrize(
    ("make", "code", "tries"),
    [
        (steady, "IncorrectState", 4),
        (steady, "ConcurrentObjectUpdate", 4),
        (steady, "NotRestored", 1),
        (quick, "IncorrectState", 1),
    ],
)
def test_states_that_pass_are_waited_for_where_there_is_time(
    clock: ManualClock,
    make: Callable[[ManualClock, threading.Event, int], BoundedRetries],
    code: str,
    tries: int,
) -> None:
    """A receipt that is no longer valid may be told as a state: its lease is lost, and not to be waited for."""
    service = Service(clock, *[service_error(409, code)] * 9)

    with pytest.raises(ServiceError):
        make(clock, threading.Event(), 4).make_retrying_call(service, "no")
    assert len(service.asked) == tries


def test_what_keeps_a_lease_is_told_soon(clock: ManualClock) -> None:
    service = Service(clock, *[service_error(503)] * 9)

    with pytest.raises(ServiceError):
        quick(clock, threading.Event(), 9).make_retrying_call(service, "no")
    assert len(service.asked) == 2


def test_a_stop_ends_the_pauses(clock: ManualClock) -> None:
    stop = threading.Event()
    stop.set()
    service = Service(clock, *[service_error(503)] * 9)

    with pytest.raises(ServiceError):
        steady(clock, stop, 9).make_retrying_call(service, "no")
    assert len(service.asked) == 1
