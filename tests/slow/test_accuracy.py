"""The accuracy gate of the sequential engine, on real recordings: `pytest tests/slow/test_accuracy.py -s`.

Windows come from the real media child. Below one slab the text must be what faster-whisper itself, with its own voice
activity detection, makes of the samples that the child decodes, to the letter; above it the pooled word error rate may
be at most 0.005 worse. Prints load time, memory, speed and a table. Minutes long on a small machine.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from faster_whisper import WhisperModel

from tests.media_files import decode
from tests.speech import CORPUS, MODELS, a_listener
from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.inference.sequential import SequentialEngine
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.settings import EngineSettings, MediaSettings, ModelSettings
from transcriber_worker.tools.bench.word_errors import Errors, word_errors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
]

SLAB_S = 300.0
TIMEOUT_S = 1800.0
SHORT = ("jfk_11s.flac", "lj_35s.wav", "sonnet2_53s.m4a", "phone8k_90s.wav", "lj_100s.mp3", "sparse_silence.mp3")
LONG = ("talk11m.mp3",)
SILENT = ("noise_60s.wav", "short_0.3s.wav")


CORES = psutil.cpu_count() or 1


@dataclass(frozen=True)
class Bench:
    media: MediaPool
    files: ModelFiles
    engine: SequentialEngine
    reference: Any
    """faster-whisper itself, one file at a time on all cores."""


def say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


def an_engine(files: ModelFiles, concurrency: int) -> SequentialEngine:
    return SequentialEngine(ModelSettings(), EngineSettings(concurrency=concurrency), lambda: files, cores=CORES)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    files = resolve(ModelSettings(cache_dir=MODELS), say)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    engine = an_engine(files, 2)
    info = engine.start()
    loaded_s = time.perf_counter() - started
    grown_mb = (psutil.Process().memory_info().rss - before) / 1e6
    say(f"{info.identity}: loaded and tried out in {loaded_s:.2f} s, {grown_mb:.0f} MB more memory")
    reference = WhisperModel(str(files.path), device="cpu", compute_type="int8", cpu_threads=CORES)
    media = MediaPool(MediaSettings(), WindowLimits(SLAB_S, SLAB_S), CORES, SystemClock())
    yield Bench(media, files, engine, reference)
    media.close()
    engine.close()


def read(bench: Bench, name: str, folder: Path) -> list[Window]:
    path = Path(shutil.copy(CORPUS / name, folder))
    with bench.media.open(MediaRequest(path, MediaOptions(), CancelToken())) as stream:
        return list(stream.windows())


def reference_text(name: str) -> str:
    manifest = json.loads((CORPUS / "manifest.json").read_text())
    return str(next(entry["text"] for entry in manifest if entry["file"] == name))


def listen(engine: SequentialEngine, windows: list[Window]) -> str:
    with engine.open(a_listener()) as hearing:
        heard = [future.result(TIMEOUT_S) for future in [hearing.submit(window) for window in windows]]
    return "".join(segment.text for window in heard for segment in window.segments)


def own_text(bench: Bench, name: str) -> str:
    pcm, _ = decode(CORPUS / name)
    segments, _ = bench.reference.transcribe(pcm[0].astype(np.float32) / 32768.0, vad_filter=True)
    return "".join(segment.text for segment in segments)


@pytest.mark.parametrize("name", [*SHORT, *SILENT])
def test_below_one_slab_the_text_is_faster_whispers_own(bench: Bench, name: str, tmp_path: Path) -> None:
    windows = read(bench, name, tmp_path)
    assert len(windows) <= 1
    ours, own = listen(bench.engine, windows), own_text(bench, name)
    errors = word_errors(reference_text(name), ours)
    say(f"{name}: {errors.words} words, WER {errors.rate:.4f}, same: {ours == own}")
    assert ours == own


def test_above_one_slab_no_more_words_are_wrong(bench: Bench, tmp_path: Path) -> None:
    ours, own = Errors(0, 0), Errors(0, 0)
    for name in LONG:
        windows = read(bench, name, tmp_path)
        assert len(windows) > 1
        text = reference_text(name)
        started = time.perf_counter()
        errors = word_errors(text, listen(bench.engine, windows))
        ours_s = time.perf_counter() - started
        started = time.perf_counter()
        their_errors = word_errors(text, own_text(bench, name))
        own_s = time.perf_counter() - started
        ours, own = ours + errors, own + their_errors
        seconds = windows[-1].core.end_s
        say(
            f"{name}: {seconds:.0f} s in {len(windows)} slabs, {errors.words} words: WER {errors.rate:.4f} at "
            f"{seconds / ours_s:.1f}x on one worker; faster-whisper on all cores, in one piece: "
            f"{their_errors.rate:.4f} at {seconds / own_s:.1f}x"
        )
    assert ours.rate <= own.rate + 0.005


def test_speed_of_two_files_at_once(bench: Bench, tmp_path: Path) -> None:
    """A figure for the note: the same cores, one file after the other or two at once. Only the text is asserted."""
    windows = [read(bench, name, tmp_path) for name in ("lj_100s.mp3", "phone8k_90s.wav")]
    seconds = sum(window.duration_s for file in windows for window in file)
    one_by_one = an_engine(bench.files, 1)
    one_by_one.start()
    started = time.perf_counter()
    alone = [listen(one_by_one, file) for file in windows]
    alone_s = time.perf_counter() - started
    one_by_one.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(2) as callers:
        together = list(callers.map(lambda file: listen(bench.engine, file), windows))
    together_s = time.perf_counter() - started
    say(
        f"one after the other {seconds / alone_s:.1f}x, two at once {seconds / together_s:.1f}x: "
        f"{alone_s / together_s:.2f} times as fast; {psutil.Process().memory_info().rss / 1e6:.0f} MB"
    )
    assert together == alone
