"""The incremental detector against faster-whisper's detector on the whole."""

from pathlib import Path
from typing import Any

import faster_whisper.vad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media_files import RECORDINGS, corpus, decode, noise, silence, speech
from transcriber_worker.domain.audio import Pcm
from transcriber_worker.media.speech_spans import SampleSpan, SpeechSpans, SpeechThresholds
from transcriber_worker.media.vad import SpeechDetector, SpeechModel


@pytest.fixture(scope="module")
def model() -> SpeechModel:
    return SpeechModel()


def whole(pcm: Pcm) -> list[SampleSpan]:
    found: list[dict[str, Any]] = faster_whisper.vad.get_speech_timestamps(pcm.astype(np.float32) / 32768.0)
    return [(span["start"], span["end"]) for span in found]


def in_pieces(model: SpeechModel, pcm: Pcm, sizes: list[int]) -> list[SampleSpan]:
    detector, spans = SpeechDetector(model), SpeechSpans(SpeechThresholds())
    found: list[SampleSpan] = []
    at, turn = 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        found += spans.feed(detector.feed(pcm[at : at + size]).probabilities)
        at, turn = at + size, turn + 1
    found += spans.feed(detector.finish().probabilities)
    return found + spans.finish(len(pcm))


VOICE = speech()
SOUNDS = {"voice": VOICE, "half a voice": VOICE[: len(VOICE) // 2], "silence": silence(3.1), "noise": noise(1.7)}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(SOUNDS)), min_size=1, max_size=4),
    st.integers(0, 1023),
    st.lists(st.integers(1, 50_000), min_size=1, max_size=5),
)
def test_spans_equal_those_of_the_whole_whatever_the_pieces(
    model: SpeechModel, sounds: list[str], cut_off: int, sizes: list[int]
) -> None:
    pcm = np.concatenate([SOUNDS[name] for name in sounds])
    pcm = pcm[: len(pcm) - cut_off]
    if min(sizes) < 100:  # a call of the network for each handful of samples adds nothing but time
        sizes = [size + 512 for size in sizes]
    assert in_pieces(model, pcm, sizes) == whole(pcm)


@pytest.mark.parametrize("length", [1, 447, 448, 449, 511, 512, 513, 1024, 16_000])
def test_spans_equal_those_of_the_whole_at_any_remainder(model: SpeechModel, length: int) -> None:
    pcm = VOICE[30_000 : 30_000 + length]
    assert in_pieces(model, pcm, [100]) == whole(pcm)


@pytest.mark.parametrize("rest", [0, 1, 448, 449, 480, 511])
def test_probabilities_equal_those_of_the_whole_to_the_bit(model: SpeechModel, rest: int) -> None:
    """Also that of the last chunk, of which faster-whisper blanks the last 64 samples, be they real or padding."""
    pcm = VOICE[: 100 * 512 + rest]
    samples = pcm.astype(np.float32) / 32768.0
    theirs = faster_whisper.vad.get_vad_model()(np.pad(samples, (0, 512 - len(samples) % 512)))
    detector = SpeechDetector(model)
    ours = [detector.feed(pcm[:20_001]), detector.feed(pcm[20_001:]), detector.finish()]
    assert np.array_equal(np.concatenate([heard.probabilities for heard in ours]), theirs)


@pytest.mark.parametrize("name", ["night-train.opus", "parcel-call.opus", "good-bread.mp3"])
def test_spans_of_recordings_equal_those_of_the_whole(model: SpeechModel, name: str) -> None:
    pcm = decode(RECORDINGS / name)[0][0]
    assert in_pieces(model, pcm, [48_000, 7_777]) == whole(pcm)


@pytest.mark.parametrize("name", ["sparse_silence.mp3", "phone8k_90s.wav", "noise_60s.wav", "sonnet2_53s.m4a"])
def test_spans_of_the_corpus_equal_those_of_the_whole(model: SpeechModel, name: str) -> None:
    pcm = decode(corpus(name))[0][0]
    assert in_pieces(model, pcm, [130_000]) == whole(pcm)


def test_levels_are_mean_squares_of_the_chunks(model: SpeechModel) -> None:
    heard = SpeechDetector(model).feed(np.full(1024, 16384, np.int16))
    assert heard.powers.tolist() == [0.25, 0.25]


def test_the_network_is_found_without_loading_the_model_libraries(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, transcriber_worker.media.child, transcriber_worker.media.rehearsal as r; r.rehearse();"
        "unwanted = {'faster_whisper', 'ctranslate2', 'pydantic', 'structlog', 'tokenizers'};"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
