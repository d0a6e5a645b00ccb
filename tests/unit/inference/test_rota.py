"""Who is heard next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.domain.job import Priority
from transcriber_worker.inference.rota import Rota


def test_priority_goes_before_deadline_and_deadline_before_arrival() -> None:
    rota = Rota()
    low = rota.join(Priority.LOW, deadline=1.0)
    plain = rota.join(Priority.NORMAL, deadline=None)
    late = rota.join(Priority.NORMAL, deadline=200.0)
    soon = rota.join(Priority.NORMAL, deadline=100.0)
    high = rota.join(Priority.HIGH, deadline=None)

    waiting = {low, plain, late, soon, high}
    picked = []
    while waiting:
        ticket = rota.pick(waiting)
        assert ticket is not None
        picked.append(ticket)
        waiting.remove(ticket)

    assert picked == [high, soon, late, plain, low]


def test_nobody_waiting_is_nobody_picked() -> None:
    assert Rota().pick([]) is None


def test_leaving_twice_is_harmless() -> None:
    rota = Rota()
    ticket = rota.join(Priority.NORMAL, None)
    rota.leave(ticket)
    rota.leave(ticket)


@given(st.lists(st.tuples(st.sampled_from(["join", "pick"]), st.sets(st.integers(0, 5))), max_size=60))
def test_no_file_is_picked_twice_while_an_equal_one_waits(steps: list[tuple[str, set[int]]]) -> None:
    """Whoever joins, and whichever files happen to have a window waiting, a long file can't starve the others, and a
    stream of newcomers can't starve a long one."""
    rota = Rota()
    files: list[int] = []
    passed_over: dict[int, Counter[int]] = {}
    for step, which in steps:
        if step == "join":
            files.append(rota.join(Priority.NORMAL, None))
            continue
        waiting = [files[i] for i in which if i < len(files)]
        picked = rota.pick(waiting)
        if picked is None:
            continue
        for other in waiting:
            if other != picked:
                seen = passed_over.setdefault(other, Counter())
                seen[picked] += 1
                assert seen[picked] == 1, f"{picked} was picked twice while {other} waited"
        passed_over[picked] = Counter()


@given(st.integers(2, 6), st.integers(1, 50))
def test_files_that_always_wait_take_turns(count: int, rounds: int) -> None:
    rota = Rota()
    files = [rota.join(Priority.NORMAL, None) for _ in range(count)]
    assert [rota.pick(files) for _ in range(count * rounds)] == files * rounds


@given(st.integers(1, 20), st.integers(1, 100))
def test_a_stream_of_newcomers_does_not_starve_a_long_file(start: int, steps: int) -> None:
    """Only those who waited already when it had its last turn come before it."""
    rota = Rota()
    long = rota.join(Priority.NORMAL, None)
    short = [rota.join(Priority.NORMAL, None) for _ in range(start)]
    ahead = 0
    for _ in range(steps):
        short.append(rota.join(Priority.NORMAL, None))
        picked = rota.pick([*short, long])
        if picked == long:
            ahead = len(short)
        else:
            assert picked == short.pop(0)
            ahead -= 1
            assert ahead >= 0
