"""The sequential engine on the real small model: the same words as faster-whisper's own, and what is asked of it."""

import threading
import wave
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from faster_whisper import WhisperModel

from tests.speech import CORPUS, MODELS, PROJECT, a_listener, a_window, decoded, slabs
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import JobCancelled, Reason, RejectJob, WorkerBroken
from transcriber_worker.domain.job import SpeechOptions, Task
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference import loading
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.inference.options import MAX_HOTWORD_TOKENS, MAX_PROMPT_TOKENS
from transcriber_worker.inference.sequential import SequentialEngine
from transcriber_worker.inference.whisper import Whisper
from transcriber_worker.settings import EngineSettings, ModelSettings
from transcriber_worker.tools.bench.word_errors import wer

pytestmark = pytest.mark.model
TIMEOUT_S = 120.0
CPU = Runtime(device="cpu", compute_type="int8", beam_size=5, workers=1, cpu_threads=2)
SPOKEN = "The recorder is ready, and every word of this short sentence should be heard."


@pytest.fixture(scope="module")
def base_files() -> ModelFiles:
    return resolve(ModelSettings(cache_dir=MODELS), print)


@pytest.fixture(scope="module")
def engine(base_files: ModelFiles) -> Iterator[SequentialEngine]:
    engine = SequentialEngine(ModelSettings(), EngineSettings(concurrency=1), lambda: base_files, cores=2)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(base_files: ModelFiles) -> Any:
    return WhisperModel(str(base_files.path), device="cpu", compute_type="int8", cpu_threads=2)


@pytest.fixture(scope="module")
def sentence() -> Pcm:
    with as_file(files("transcriber_worker.inference") / "warmup.ogg") as path:
        return decoded(path)


def corpus(name: str) -> Pcm:
    path = CORPUS / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return decoded(path)


def listen(engine: SequentialEngine, windows: list[Window], options: SpeechOptions | None = None) -> list[HeardWindow]:
    with engine.open(a_listener(options=options)) as hearing:
        return [future.result(TIMEOUT_S) for future in [hearing.submit(window) for window in windows]]


def texts(heard: list[HeardWindow]) -> list[str]:
    return [segment.text for window in heard for segment in window.segments]


@pytest.mark.parametrize(
    ("name", "options", "same"),
    [
        ("jfk_11s.flac", SpeechOptions(), {}),
        ("sparse_silence.mp3", SpeechOptions(word_timestamps=True), {"word_timestamps": True}),
        (
            "lj_35s.wav",
            SpeechOptions(prompt="Printing, in olden times."),
            {"initial_prompt": "Printing, in olden times."},
        ),
        ("lj_35s.wav", SpeechOptions(hotwords=("Gutenberg", "woodcutters")), {"hotwords": "Gutenberg, woodcutters"}),
        ("jfk_11s.flac", SpeechOptions(language="de", task=Task.TRANSLATE), {"language": "de", "task": "translate"}),
    ],
    ids=["plain", "words", "prompt", "hotwords", "translation"],
)
def test_text_and_times_are_faster_whispers_own(
    engine: SequentialEngine, reference: Any, name: str, options: SpeechOptions, same: dict[str, Any]
) -> None:
    pcm = corpus(name)
    segments, info = reference.transcribe(pcm.astype(np.float32) / 32768.0, vad_filter=True, **same)
    expected = list(segments)

    (heard,) = listen(engine, slabs(pcm), options)

    assert [segment.text for segment in heard.segments] == [segment.text for segment in expected]
    assert heard.language == info.language
    assert heard.language_probability == pytest.approx(info.language_probability)
    end_s = len(pcm) / SAMPLE_RATE_HZ
    for mine, theirs in zip(heard.segments, expected, strict=True):
        assert mine.start_s == pytest.approx(theirs.start, abs=0.011)  # two roundings to 10 ms
        assert mine.end_s == pytest.approx(min(theirs.end, end_s), abs=0.011)
        assert (mine.avg_logprob, mine.no_speech_prob) == pytest.approx((theirs.avg_logprob, theirs.no_speech_prob))
        assert mine.compression_ratio == pytest.approx(theirs.compression_ratio)
        assert [word.text for word in mine.words] == [word.word for word in theirs.words or []]
        starts = [word.start for word in theirs.words or []]
        assert [word.start_s for word in mine.words] == pytest.approx(starts, abs=0.011)


def test_where_languages_are_mixed_it_is_asked_again_every_half_minute(
    engine: SequentialEngine, reference: Any
) -> None:
    """More than 30 s of English, then German."""
    names = ("good-bread.mp3", "ferry-notice.wav", "herbstgarten.flac")
    pcm = np.concatenate([decoded(PROJECT / "demo" / "recordings" / name) for name in names])
    own, _ = reference.transcribe(pcm.astype(np.float32) / 32768.0, multilingual=True)
    expected = [segment.text for segment in own]

    (mixed,) = listen(engine, [a_window(pcm=pcm)], SpeechOptions(mixed=True))

    assert texts([mixed]) == expected
    assert "Garten" in "".join(expected)


def test_the_text_of_one_slab_is_the_prompt_of_the_next(engine: SequentialEngine, reference: Any) -> None:
    first, second = slabs(corpus("sparse_silence.mp3"), slab_s=65.0)[:2]
    before, _ = reference.transcribe(_speech(first), language="en")
    tokens = [token for segment in before for token in segment.tokens]
    after, _ = reference.transcribe(_speech(second), language="en", initial_prompt=tokens)

    heard = listen(engine, [first, second], SpeechOptions(language="en"))

    assert texts(heard[1:]) == [segment.text for segment in after]


def _speech(window: Window) -> Any:
    spans = [window.pcm[window.sample_at(s.start_s) : window.sample_at(s.end_s)] for s in window.speech]
    return np.concatenate(spans).astype(np.float32) / 32768.0


def test_a_cut_through_speech_neither_loses_nor_doubles_words(engine: SequentialEngine) -> None:
    """The windows overlap by two seconds around the cut; each word comes from the one whose core holds it."""
    pcm = corpus("lj_35s.wav")
    (whole,) = slabs(pcm)
    cut_s, context_s = 17.0, 1.0
    end_s = whole.core.end_s
    first = _part(pcm, Span(0.0, cut_s), Span(0.0, cut_s + context_s), 0)
    second = _part(pcm, Span(cut_s, end_s), Span(cut_s - context_s, end_s), 1)

    uncut = "".join(texts(listen(engine, [whole])))
    heard = listen(engine, [first, second], SpeechOptions(word_timestamps=True))

    assert wer(uncut, "".join(texts(heard))) <= 0.03
    for window, core in zip(heard, (first.core, second.core), strict=True):
        for segment in window.segments:
            assert "".join(word.text for word in segment.words) == segment.text
            assert all(core.start_s <= (word.start_s + word.end_s) / 2 < core.end_s for word in segment.words)


def test_words_that_a_cut_needs_are_not_given_unless_asked_for(engine: SequentialEngine, sentence: Pcm) -> None:
    whole = a_window(pcm=sentence)
    (cut,) = listen(engine, [a_window(pcm=sentence, core=Span(0.0, 2.0))])
    assert 0 < len("".join(texts([cut]))) < len("".join(texts(listen(engine, [whole]))))
    assert all(segment.words == () for segment in cut.segments)


def _part(pcm: Pcm, core: Span, heard: Span, index: int) -> Window:
    samples = pcm[round(heard.start_s * SAMPLE_RATE_HZ) : round(heard.end_s * SAMPLE_RATE_HZ)]
    return a_window(index, start_s=heard.start_s, pcm=samples, core=core)


def test_times_of_sped_up_audio_are_the_files_own(engine: SequentialEngine, sentence: Pcm) -> None:
    (slow,) = listen(engine, [a_window(pcm=sentence)])
    (fast,) = listen(engine, [a_window(pcm=sentence, start_s=100.0, speed=1.5)])
    assert texts([fast]) == texts([slow])
    for one, other in zip(slow.segments, fast.segments, strict=True):
        assert other.start_s == pytest.approx(100.0 + one.start_s * 1.5)
        assert other.end_s == pytest.approx(100.0 + one.end_s * 1.5)


def test_the_language_is_chosen_among_the_allowed_ones_and_kept(engine: SequentialEngine, sentence: Pcm) -> None:
    first, second = listen(
        engine,
        [a_window(0, pcm=sentence), a_window(1, pcm=sentence, start_s=5.0)],
        SpeechOptions(languages=("de", "es")),
    )
    assert first.language in ("de", "es")
    assert first.language_probability < 0.5
    assert (second.language, second.language_probability) == (first.language, first.language_probability)


def test_a_detected_language_is_kept_for_its_channel_only(engine: SequentialEngine, sentence: Pcm) -> None:
    silent = a_window(1, channel=0, speech=[])
    other = a_window(1, channel=1, speech=[])
    heard = listen(engine, [a_window(0, channel=0, pcm=sentence), silent, other])
    assert [window.language for window in heard] == ["en", "en", None]
    assert heard[2].language_probability == 0.0


def test_a_language_that_is_given_is_certain(engine: SequentialEngine) -> None:
    (heard,) = listen(engine, [a_window(speech=[])], SpeechOptions(language="pt"))
    assert (heard.language, heard.language_probability) == ("pt", 1.0)


def test_languages_newer_than_the_model_are_not_among_its_own(engine: SequentialEngine) -> None:
    """faster-whisper lists Cantonese, which only large-v3 has a token for."""
    with pytest.raises(RejectJob, match="'yue'"):
        engine.open(a_listener(options=SpeechOptions(language="yue")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SpeechOptions(prompt="noon " * (MAX_PROMPT_TOKENS + 1)), "prompt: 224 tokens, at most 223"),
        (SpeechOptions(hotwords=("noon",) * MAX_HOTWORD_TOKENS), "hotwords: 191 tokens, at most 96"),
    ],
    ids=["prompt", "hotwords"],
)
def test_a_text_that_does_not_fit_is_refused_rather_than_cut(
    engine: SequentialEngine, options: SpeechOptions, message: str
) -> None:
    with pytest.raises(RejectJob, match=message) as caught:
        engine.open(a_listener(options=options))
    assert caught.value.reason is Reason.PROMPT_TOO_LONG
    assert "noon" not in caught.value.message  # the user's text stays out of logs and events


@pytest.mark.parametrize(
    "options", [SpeechOptions(prompt="a <|startoftranscript|> b"), SpeechOptions(hotwords=("<|en|>",))]
)
def test_control_tokens_in_a_users_text_are_refused(engine: SequentialEngine, options: SpeechOptions) -> None:
    with pytest.raises(RejectJob, match="control tokens") as caught:
        engine.open(a_listener(options=options))
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_the_longest_prompt_and_hotwords_leave_room_for_what_is_said(engine: SequentialEngine, sentence: Pcm) -> None:
    options = SpeechOptions(prompt="word " * MAX_PROMPT_TOKENS, hotwords=("word",) * (MAX_HOTWORD_TOKENS // 2))
    (heard,) = listen(engine, [a_window(pcm=sentence)], options)
    assert wer(SPOKEN, "".join(texts([heard]))) <= 0.1


def test_a_model_that_cannot_translate_says_so(base_files: ModelFiles) -> None:
    """Turbo would quietly transcribe instead."""
    turbo = ModelFiles("turbo", base_files.path, base_files.sha256, translates=False)
    engine = SequentialEngine(ModelSettings(), EngineSettings(concurrency=1), lambda: turbo, cores=2)
    engine.start()
    with pytest.raises(RejectJob, match="not trained to translate"):
        engine.open(a_listener(options=SpeechOptions(task=Task.TRANSLATE)))
    engine.close()


class CancelledInTheMiddle(CancelToken):
    """Cancelled at the third look: once before the window, then after each phrase."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def raise_if_cancelled(self) -> None:
        self.looks += 1
        if self.looks == 3:
            self.cancel(JobCancelled("by the user"))
        super().raise_if_cancelled()


def test_a_cancelled_window_stops_at_its_next_phrase(engine: SequentialEngine) -> None:
    pcm = corpus("lj_35s.wav")
    with engine.open(a_listener(cancel=CancelledInTheMiddle())) as hearing, pytest.raises(JobCancelled):
        hearing.submit(slabs(pcm)[0]).result(TIMEOUT_S)


def test_two_files_are_decoded_at_the_same_time(base_files: ModelFiles, sentence: Pcm) -> None:
    """Both are between two phrases of their own at one moment."""
    meeting = threading.Barrier(2)

    class Meeting(CancelToken):
        def __init__(self) -> None:
            super().__init__()
            self.looks = 0

        def raise_if_cancelled(self) -> None:
            self.looks += 1
            if self.looks == 2:
                meeting.wait(TIMEOUT_S)

    engine = SequentialEngine(ModelSettings(), EngineSettings(concurrency=2), lambda: base_files, cores=2)
    engine.start()
    with engine.open(a_listener("a", cancel=Meeting())) as one, engine.open(a_listener("b", cancel=Meeting())) as two:
        futures = [hearing.submit(a_window(pcm=sentence)) for hearing in (one, two)]
        results = [future.result(TIMEOUT_S) for future in futures]
    engine.close()
    assert results[0] == results[1]


def test_a_preprocessor_that_does_not_fit_the_model_is_noticed(base_files: ModelFiles, tmp_path: Path) -> None:
    """Turbo without its preprocessor_config.json would be fed 80 bands instead of 128."""
    for file in base_files.path.iterdir():
        (tmp_path / file.name).symlink_to(file.resolve())
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(WorkerBroken, match=r"80 mel bands.*128.*preprocessor_config\.json"):
        Whisper.load(ModelFiles("mine", tmp_path, base_files.sha256), CPU)


def test_a_model_that_stays_silent_is_not_let_to_work(
    base_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a GPU build does that does not fit its driver; here it is the sentence that is not there."""
    with wave.open(str(tmp_path / "warmup.ogg"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.random.default_rng(1).integers(-3000, 3000, 32_000, np.int16).tobytes())

    def elsewhere(package: str) -> Path:
        return tmp_path

    monkeypatch.setattr(loading, "files", elsewhere)
    with pytest.raises(WorkerBroken, match="heard nothing in a clear sentence"):
        Whisper.load(base_files, CPU)


@pytest.mark.parametrize(
    ("device", "compute_type"), [("cpu", "no_such_type"), ("cuda", "float16")], ids=["compute type", "no GPU here"]
)
def test_a_device_that_cannot_be_used_says_what_to_set(base_files: ModelFiles, device: str, compute_type: str) -> None:
    if device == "cuda" and ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU here")
    runtime = Runtime(device=device, compute_type=compute_type, beam_size=5, workers=1, cpu_threads=1)
    with pytest.raises(WorkerBroken, match=rf"does not run on {device} as {compute_type}.*set model\.device: cpu"):
        Whisper.load(base_files, runtime)


def test_a_corrupt_model_is_reported(base_files: ModelFiles, tmp_path: Path) -> None:
    for file in base_files.path.iterdir():
        (tmp_path / file.name).symlink_to(file.resolve())
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").write_bytes(b"not a model at all")
    with pytest.raises(WorkerBroken, match="does not run"):
        Whisper.load(ModelFiles("mine", tmp_path, "0" * 64), CPU)
