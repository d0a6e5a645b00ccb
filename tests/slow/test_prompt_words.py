"""The gate on words behind prompts: `pytest tests/slow/test_prompt_words.py -s`.

Terms that are spoken have to be spelled as asked more often than without asking, terms that are not must never appear,
and prose before a list may not cost words. Prints a table. Some minutes long on a small machine.
"""

import sys
from collections.abc import Callable
from functools import reduce
from operator import add

import pytest

from tests.prompted import Heard, Prompted, Recording, recording
from tests.speech import CORPUS
from transcriber_worker.inference.batched.prompts import LENGTHS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
]

READINGS = ("lj_35s.wav", "lj_100s.mp3")
DEMO = ("ferry-notice.wav", "water-meter.wav", "good-bread.mp3", "night-train.opus", "slow-clock.m4a")
_SPOKEN = (
    "Gutenberg, letterpress, woodcutters, Netherlands, block books, typography, Gothic, picture-books, movable types, "
    "shapeliness, lower-case, black letter, Bible, Exhibition, Middle Ages, craftsmen, printing, relief, engraved, "
    "Chinese, ferry, pier, meter, water company, figures, flour, dough, crust, oven, nurse, guard, carriage, dawn, "
    "fog, clock, gate"
)
_UNSPOKEN = (
    "Kubernetes, Okonkwo, metoprolol, Szymborska, Terraform, Grafana, Vauxhall, torque, ledger, pancreas, quorum, "
    "Lisbon, turbine, invoice, fjord, cobalt, diesel, tenor, widget, Quebec, lemur, radar, sonar, violin, tango, Oslo, "
    "bonus, tariff, audit"
)
SPOKEN, UNSPOKEN = _SPOKEN.split(", "), _UNSPOKEN.split(", ")
NOISE = 0.006
"""Five words of all that are spoken: as much as moving the bounds of the windows by half a second does."""


@pytest.fixture(scope="module")
def prompted() -> Prompted:
    return Prompted()


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return [recording(name) for name in (*READINGS, *DEMO)]


@pytest.fixture(scope="module")
def heard(prompted: Prompted, recordings: list[Recording]) -> Callable[[str, tuple[int, ...], list[str]], Heard]:
    def hear(name: str, before: tuple[int, ...], terms: list[str]) -> Heard:
        found = reduce(add, (prompted.hear(one, before, terms) for one in recordings))
        sys.stdout.write(
            f"\n{name:26} {len(before):3} tokens  WER {found.errors.rate:.4f}  "
            f"spelled {found.spelled}/{found.spoken}  leaked {', '.join(found.leaked) or 'none'}"
        )
        return found

    return hear


@pytest.fixture(scope="module")
def unprompted(heard: Callable[[str, tuple[int, ...], list[str]], Heard]) -> Heard:
    return heard("no prompt", (), SPOKEN)


@pytest.mark.parametrize("count", [5, 15, 36])
def test_spoken_terms_are_spelled_as_asked_and_prose_before_them_costs_no_words(
    prompted: Prompted,
    heard: Callable[[str, tuple[int, ...], list[str]], Heard],
    unprompted: Heard,
    count: int,
) -> None:
    terms = SPOKEN[:count]
    exact = heard(f"{count} spoken", prompted.exact(terms), terms)
    fitted = prompted.book.fitted(None, terms, "en").tokens
    padded = heard(f"{count} spoken behind prose", fitted, terms)

    assert len(fitted) in LENGTHS
    assert padded.spelled >= exact.spelled - 1
    assert padded.leaked == ()
    assert padded.errors.rate <= exact.errors.rate + NOISE
    assert padded.errors.rate <= unprompted.errors.rate + NOISE
    if count == len(SPOKEN):
        assert padded.spelled > unprompted.spelled


@pytest.mark.parametrize("count", [5, 15, 29])
def test_terms_that_nobody_speaks_do_not_appear_and_cost_no_words(
    prompted: Prompted,
    heard: Callable[[str, tuple[int, ...], list[str]], Heard],
    unprompted: Heard,
    count: int,
) -> None:
    terms = UNSPOKEN[:count]
    padded = heard(f"{count} unspoken behind prose", prompted.book.fitted(None, terms, "en").tokens, terms)

    assert padded.leaked == ()
    assert padded.errors.rate <= unprompted.errors.rate + NOISE
