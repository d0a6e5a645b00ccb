"""How many windows may wait for the engine, of one file and of all together."""

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.pipeline.lookahead import Lookahead, Share


def filled(share: Share) -> int:
    """How many windows of a file wait once no more may."""
    waiting = 0
    while share.take(waiting + 1):
        waiting += 1
    return waiting


def test_a_file_alone_may_wait_with_as_many_as_are_meant_for_one() -> None:
    with Lookahead(4, 24, 48).share() as share:
        assert filled(share) == 24


def test_files_together_may_wait_with_what_they_share_and_the_least_of_each() -> None:
    lookahead = Lookahead(4, 24, 48)
    with ExitStack() as stack:
        counts = [filled(stack.enter_context(lookahead.share())) for _ in range(6)]
    assert counts == [24, 24, 12, 4, 4, 4]
    assert sum(counts) + 6 == lookahead.windows(6)


def test_what_no_longer_waits_makes_room_for_others() -> None:
    lookahead = Lookahead(1, 5, 4)
    with lookahead.share() as first, lookahead.share() as second:
        assert filled(first) == 5
        assert filled(second) == 1
        assert first.take(3)
        assert filled(second) == 3
    with lookahead.share() as third:
        assert filled(third) == 5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=60))
def test_memory_is_bounded_whatever_files_ask_for(wishes: list[tuple[int, int]]) -> None:
    lookahead, waiting = Lookahead(2, 9, 10), [0] * 4
    with ExitStack() as stack:
        shares = [stack.enter_context(lookahead.share()) for _ in waiting]
        for file, wish in wishes:
            if shares[file].take(wish):
                waiting[file] = wish
            else:
                assert wish > min(waiting[file], 2)
            assert sum(waiting) + len(waiting) <= lookahead.windows(len(waiting))
