"""What is heard in a file does not depend on its company: `pytest tests/slow/test_batch_invariance.py -s`.

Random mixes of 21 files with different languages, prompts and standings go through one engine at the same time, and
each comes out as when it is alone. Windows are padded in full and decoded at temperature 0; what had to be sampled
above that is not compared, since CTranslate2 draws other numbers in other batches.
"""

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import pytest

from tests.accuracy import batched, running, windows_of
from tests.speech import CORPUS, MODELS, PROJECT, a_listener
from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.job import Priority, SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.model_files import resolve
from transcriber_worker.settings import ModelSettings

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(3600)]

TIMEOUT_S = 1800.0
FILES = 21
SETTINGS = batched(max_batch_windows=4, workers=2, max_batch_s=600.0)
RECORDINGS = [
    PROJECT / "demo" / "recordings" / name
    for name in (
        "ferry-notice.wav",
        "water-meter.wav",
        "good-bread.mp3",
        "herbstgarten.flac",
        "mercado.ogg",
        "night-train.opus",
        "slow-clock.m4a",
    )
] + [CORPUS / name for name in ("jfk_11s.flac", "lj_35s.wav", "sonnet2_53s.m4a", "phone8k_90s.wav")]
OPTIONS = (
    SpeechOptions(),
    SpeechOptions(mixed=True, word_timestamps=True),
    SpeechOptions(languages=("en", "de", "es")),
    SpeechOptions(prompt="A calm voice reads a notice."),
    SpeechOptions(hotwords=("ferry", "Gutenberg")),
)


@dataclass(frozen=True)
class File:
    """One file of a mix."""

    recording: int
    options: SpeechOptions


@dataclass(frozen=True)
class Text:
    """What is compared of a window."""

    language: str | None
    probability: float
    segments: tuple[tuple[float, float, str, str | None], ...]
    sampled: bool

    @classmethod
    def of(cls, heard: HeardWindow) -> "Text":
        segments = tuple((round(one.start_s, 2), round(one.end_s, 2), one.text, one.language) for one in heard.segments)
        sampled = any(one.temperature > 0 for one in heard.segments)
        return cls(heard.language, round(heard.language_probability, 3), segments, sampled)


def say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


@cache
def windows() -> list[list[Window]]:
    return windows_of([path for path in RECORDINGS if path.exists()], SETTINGS)


@pytest.fixture(scope="module")
def engine() -> Iterator[SpeechEngine]:
    with running(SETTINGS, resolve(ModelSettings(cache_dir=MODELS), say), beam_size=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone() -> dict[File, list[Text]]:
    """What was heard of a file by itself."""
    return {}


@pytest.mark.parametrize("seed", range(4))
def test_a_file_is_heard_the_same_alone_and_among_twenty_others(
    engine: SpeechEngine, alone: dict[File, list[Text]], seed: int
) -> None:
    chance = random.Random(seed)
    mix = [File(chance.randrange(len(windows())), chance.choice(OPTIONS)) for _ in range(FILES)]
    standing = [(chance.choice(list(Priority)), chance.randint(4, 8)) for _ in mix]
    for file in mix:
        if file not in alone:
            alone[file] = hear(engine, file, Priority.NORMAL, 4)
    with ThreadPoolExecutor(FILES) as callers:
        among = list(callers.map(lambda file, how: hear(engine, file, *how), mix, standing))

    compared = 0
    for file, texts in zip(mix, among, strict=True):
        for own, other in zip(alone[file], texts, strict=True):
            if not own.sampled:
                assert other == own, file
                compared += 1
    say(f"seed {seed}: {compared} windows of {FILES} files, the same as alone")
    assert compared >= 0.8 * sum(len(texts) for texts in among)


def hear(engine: SpeechEngine, file: File, priority: Priority, ahead: int) -> list[Text]:
    """As a pipeline does that keeps `ahead` windows on the way."""
    heard: list[Text] = []
    with engine.open(a_listener(options=file.options, priority=priority)) as hearing:
        waiting = []
        for window in windows()[file.recording]:
            waiting.append(hearing.submit(window))
            if len(waiting) > ahead:
                heard.append(Text.of(waiting.pop(0).result(TIMEOUT_S)))
        hearing.finish()
        heard += [Text.of(future.result(TIMEOUT_S)) for future in waiting]
    return heard
