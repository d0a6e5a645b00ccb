"""How a channel's language is decided: by the windows of the file alone, whenever they are heard."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.inference.batched.language import (
    REACH,
    SURE,
    VOTERS,
    Ballot,
    ChannelLanguage,
    Tongue,
    best,
)
from transcriber_worker.inference.batched.rows import Ranking

UNSURE_EN: Ranking = (("en", 0.4), ("de", 0.35), ("fr", 0.1))
UNSURE_DE: Ranking = (("de", 0.45), ("en", 0.3), ("fr", 0.1))
SURE_FR: Ranking = (("fr", 0.9), ("en", 0.05), ("de", 0.01))


def voting(rankings: Sequence[Ranking], allowed: tuple[str, ...] = ()) -> ChannelLanguage:
    """A channel whose windows were all heard, one after another."""
    channel = ChannelLanguage(allowed)
    ballots = [channel.join(position) for position in range(1, len(rankings) + 1)]
    channel.none_follow()
    for ballot, ranking in zip(ballots, rankings, strict=True):
        if ballot is not None:
            channel.cast(ballot, ranking)
    return channel


def test_a_sure_first_window_decides_alone() -> None:
    channel = ChannelLanguage(())
    first, second = channel.join(1), channel.join(2)
    assert first is not None
    assert channel.due() == [first]
    channel.cast(first, SURE_FR)
    assert channel.decided == Tongue("fr", 0.9)
    assert second is not None
    assert channel.due() == []


def test_an_unsure_first_window_asks_the_next_two() -> None:
    channel = ChannelLanguage(())
    ballots = [ballot for position in (1, 2, 3, 4) if (ballot := channel.join(position))]
    assert len(ballots) == VOTERS
    ballots[0].asked = True
    channel.cast(ballots[0], UNSURE_EN)
    assert channel.decided is None
    assert channel.due() == ballots[1:]


@pytest.mark.parametrize(
    ("rankings", "expected"),
    [
        ([UNSURE_EN], Tongue("en", 0.4)),
        ([UNSURE_EN, UNSURE_DE], Tongue("de", 0.4)),
        ([UNSURE_EN, UNSURE_DE, SURE_FR], Tongue("fr", 1.1 / 3)),
        ([UNSURE_EN, UNSURE_EN, SURE_FR, SURE_FR], Tongue("fr", 1.1 / 3)),
        ([(), UNSURE_DE], Tongue("de", 0.45)),
        ([(), ()], Tongue(None, 0.0)),
    ],
    ids=["alone", "two", "three", "the fourth has no say", "one could not be heard", "none could be heard"],
)
def test_the_mean_of_the_first_three_decides(rankings: list[Ranking], expected: Tongue) -> None:
    decided = voting(rankings).decided
    assert decided is not None
    assert decided.language == expected.language
    assert decided.probability == pytest.approx(expected.probability)


def test_only_allowed_languages_are_chosen_and_their_probability_is_the_one_among_all() -> None:
    """Sure of a language that is not allowed, it must not call itself sure of one that is."""
    decided = voting([SURE_FR, UNSURE_DE], ("de", "en")).decided
    assert decided is not None
    assert decided.language == "de"
    assert decided.probability == pytest.approx(0.23)


def test_equally_probable_languages_are_told_apart_by_name() -> None:
    assert best((("fr", 0.3), ("de", 0.3)), ()) == best((("de", 0.3), ("fr", 0.3)), ()) == Tongue("de", 0.3)


def test_voters_are_waited_for_no_longer_than_three_windows_of_the_file() -> None:
    """Of whatever channel: here all of another one."""
    channel = ChannelLanguage(())
    ballot = channel.join(5)
    assert ballot is not None
    channel.cast(ballot, UNSURE_EN)
    for position in range(6, 5 + REACH):
        channel.reached(position)
        assert channel.decided is None
    channel.reached(5 + REACH)
    assert channel.decided == Tongue("en", 0.4)
    assert channel.join(5 + REACH + 1) is None


def test_the_last_window_within_reach_still_votes() -> None:
    channel = ChannelLanguage(())
    first = channel.join(1)
    assert first is not None
    channel.cast(first, UNSURE_EN)
    last = channel.join(1 + REACH)
    assert last is not None
    assert channel.decided is None
    channel.cast(last, UNSURE_DE)
    assert _language_of(channel) == "de"


def _language_of(channel: ChannelLanguage) -> str | None:
    assert channel.decided is not None
    return channel.decided.language


def test_nothing_is_asked_where_the_language_is_given() -> None:
    channel = ChannelLanguage((), Tongue("pt", 1.0))
    assert channel.join(1) is None
    assert channel.due() == []


LANGUAGES = ("de", "en", "fr")
RANKINGS = st.one_of(
    st.just(()),
    st.lists(st.integers(0, 100), min_size=3, max_size=3).map(
        lambda parts: tuple(
            sorted(
                ((name, part / max(1, sum(parts))) for name, part in zip(LANGUAGES, parts, strict=True)),
                key=lambda one: -one[1],
            )
        )
    ),
)


@given(
    data=st.data(),
    windows=st.lists(st.one_of(st.none(), RANKINGS), min_size=1, max_size=7),
    allowed=st.sampled_from([(), ("de", "en")]),
)
def test_the_decision_depends_on_the_windows_alone(
    data: st.DataObject, windows: list[Ranking | None], allowed: tuple[str, ...]
) -> None:
    """`windows`: of the whole file; None is one of another channel. They are submitted in order; what was asked for is
    heard at any moment afterwards, in any order."""
    channel = ChannelLanguage(allowed)
    rankings: dict[int, Ranking] = {}
    heard_later: list[Ballot] = []

    def ask() -> None:
        for ballot in channel.due():
            ballot.asked = True
            heard_later.append(ballot)

    def hear_some(least: int) -> None:
        while len(heard_later) > least and (least == 0 or data.draw(st.booleans())):
            ballot = heard_later.pop(data.draw(st.integers(0, len(heard_later) - 1)))
            channel.cast(ballot, rankings[id(ballot)])
            ask()

    for position, ranking in enumerate(windows, 1):
        ballot = channel.join(position) if ranking is not None else None
        if ballot is not None and ranking is not None:
            rankings[id(ballot)] = ranking
        channel.reached(position)
        ask()
        if data.draw(st.booleans()):
            hear_some(least=1 if len(heard_later) > 1 else 0)
    channel.none_follow()
    ask()
    hear_some(least=0)

    assert channel.decided == _expected(windows, allowed)


def _expected(windows: Sequence[Ranking | None], allowed: tuple[str, ...]) -> Tongue | None:
    """The rule, told another way."""
    own = [position for position, ranking in enumerate(windows) if ranking is not None]
    if not own:
        return None
    voters = [ranking for position in own if position <= own[0] + 3 and (ranking := windows[position]) is not None][:3]
    first = best(voters[0], allowed)
    if first.probability >= SURE:
        return first
    known = [ranking for ranking in voters if ranking]
    sums = {name: math.fsum(dict(ranking)[name] for ranking in known) / max(1, len(known)) for name in LANGUAGES}
    return best(list(sums.items()) if known else [], allowed)
