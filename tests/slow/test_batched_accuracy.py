"""The accuracy gate of the batching engine, on real recordings: `pytest tests/slow/test_batched_accuracy.py -s`.

Windows come from the real media child, cut at three different bounds, since where a cut falls changes some words by
chance. Averaged over these, the word error rate may be at most 0.005 above the sequential engine's, and no run of five
words may be missing that the sequential engine does not miss as well. Prints a table. Minutes long on a small machine.
"""

import statistics
import sys
from dataclasses import dataclass

import pytest

from tests.accuracy import SEQUENTIAL, Score, batched, heard, references, running, windows_of
from tests.speech import CORPUS, MODELS
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.settings import EngineSettings, ModelSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
]

BOUNDS_S = (26.0, 28.0, 29.5)
POOLS = {
    "short": ("lj_35s.wav", "lj_100s.mp3", "sonnet2_53s.m4a", "phone8k_90s.wav", "sparse_silence.mp3", "jfk_11s.flac"),
    "long": ("talk11m.mp3",),
}
MARGIN = 0.005
MISSING_WORDS = 5


@dataclass(frozen=True)
class Manner:
    """One way to hear everything."""

    name: str
    settings: EngineSettings


def say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return resolve(ModelSettings(cache_dir=MODELS), say)


@pytest.mark.parametrize("beam_size", [5, 1])
@pytest.mark.parametrize("pool", POOLS)
def test_no_more_words_are_wrong_than_one_after_the_other(files: ModelFiles, pool: str, beam_size: int) -> None:
    names, texts = POOLS[pool], references(CORPUS)
    manners = [
        Manner("sequential", SEQUENTIAL),
        *(Manner(f"batched {bound:g} s", batched(window_s=bound)) for bound in BOUNDS_S),
    ]
    scores = {manner.name: score(manner, names, texts, files, beam_size) for manner in manners}
    reference = scores.pop("sequential")
    mean = statistics.mean(one.errors.rate for one in scores.values())
    say(f"{pool}, beam {beam_size}: sequential {reference.errors.rate:.4f}, batched {mean:.4f} on average")

    assert mean <= reference.errors.rate + MARGIN
    for manner, one in scores.items():
        for name, missing in one.missing.items():
            assert len(missing) < max(MISSING_WORDS, len(reference.missing[name]) + 1), (manner, name, missing)


def score(manner: Manner, names: tuple[str, ...], texts: dict[str, str], files: ModelFiles, beam_size: int) -> Score:
    total = Score()
    cut = windows_of([CORPUS / name for name in names], manner.settings)
    with running(manner.settings, files, beam_size) as engine:
        for name, windows in zip(names, cut, strict=True):
            errors = total.add(name, texts[name], heard(engine, windows))
            say(
                f"beam {beam_size}  {manner.name:15}  {name:20} {len(windows):3} windows  {errors.edits:3} of "
                f"{errors.words:4} words: {errors.rate:.4f}  missing: {' '.join(total.missing[name]) or '-'}"
            )
    say(
        f"beam {beam_size}  {manner.name:15}  all: {total.errors.edits} of {total.errors.words} words: "
        f"{total.errors.rate:.4f}  holes {total.holes_found}, filled {total.holes_rescued}"
    )
    return total
