"""From a file to windows and a report, in this process; the sandbox around it is tested in tests/integration."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faster_whisper.vad
import numpy as np
import pytest

from tests.media_files import (
    RECORDINGS,
    a_media_job,
    corpus,
    decode,
    noise,
    silence,
    speech,
    spoken,
    wav_bytes,
    write_media,
)
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, MediaReport, Notice, Pcm, Span, Window
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.opening import open_media
from transcriber_worker.media.protocol import MediaJob, Progress
from transcriber_worker.media.reading import Reading
from transcriber_worker.media.vad import SpeechModel


@pytest.fixture(scope="module")
def model() -> SpeechModel:
    return SpeechModel()


def read(
    model: SpeechModel, source: Path | bytes, job: MediaJob | None = None
) -> tuple[list[Window], MediaReport, list[Progress]]:
    data = source.read_bytes() if isinstance(source, Path) else source
    reading = Reading(open_media(io.BytesIO(data)), job or a_media_job(), model)
    steps = list(reading.steps())
    windows = [step for step in steps if isinstance(step, Window)]
    return windows, reading.report, [step for step in steps if isinstance(step, Progress)]


def codes(report: MediaReport) -> set[str]:
    return {warning.code for warning in report.warnings}


def what_faster_whisper_hears(pcm: Pcm) -> Pcm:
    """The samples that its transcribe, with vad_filter, gives to the model."""
    samples = pcm.astype(np.float32) / 32768.0
    chunks: list[dict[str, Any]] = faster_whisper.vad.get_speech_timestamps(samples)
    heard, _ = faster_whisper.vad.collect_chunks(samples, chunks)
    return (np.concatenate(heard) * 32768.0).astype(np.int16)


@pytest.mark.parametrize(
    "name", ["ferry-notice.wav", "good-bread.mp3", "slow-clock.m4a", "night-train.opus", "storm-damaged.mp3"]
)
def test_below_one_slab_the_speech_is_what_faster_whisper_takes_from_the_whole(model: SpeechModel, name: str) -> None:
    (window,), report, _ = read(model, RECORDINGS / name)
    pcm = decode(RECORDINGS / name)[0][0]
    assert np.array_equal(spoken(window), what_faster_whisper_hears(pcm))
    assert window.core == Span(0.0, len(pcm) / SAMPLE_RATE_HZ)
    assert report.speech_s == pytest.approx(len(spoken(window)) / SAMPLE_RATE_HZ)


@pytest.mark.parametrize(
    "name", ["lj_100s.mp3", "sparse_silence.mp3", "sonnet2_53s.m4a", "phone8k_90s.wav", "jfk_11s.flac"]
)
def test_the_same_for_the_corpus(model: SpeechModel, name: str) -> None:
    (window,), _, _ = read(model, corpus(name))
    assert np.array_equal(spoken(window), what_faster_whisper_hears(decode(corpus(name))[0][0]))


@pytest.mark.parametrize("max_window_s", [15.0, 29.5, 60.0])
def test_windows_hold_the_files_own_samples_at_their_times(model: SpeechModel, max_window_s: float) -> None:
    path = RECORDINGS / "night-train.opus"
    whole = decode(path)[0][0]
    windows, _, _ = read(model, path, a_media_job(limits=WindowLimits(max_window_s, max_window_s)))
    assert [window.index for window in windows] == list(range(len(windows)))
    assert len(windows) > 90 / max_window_s - 1
    core_end_s = 0.0
    for window in windows:
        start = round(window.pcm_start_s * SAMPLE_RATE_HZ)
        assert np.array_equal(window.pcm, whole[start : start + len(window.pcm)])
        assert window.duration_s <= max_window_s
        assert window.core.start_s == core_end_s
        core_end_s = window.core.end_s


def test_speed_leaves_times_on_the_files_own_timeline(model: SpeechModel) -> None:
    """Speech between 12 s and 20.5 s is told there, though the samples run twice as fast."""
    data = wav_bytes(np.concatenate((silence(12.0), speech(), silence(5.0))))
    (window,), report, _ = read(model, data, a_media_job(speed=2.0))
    assert window.speed == 2.0
    assert window.speech[0].start_s == pytest.approx(12.0, abs=1.0)
    assert window.speech[-1].end_s == pytest.approx(20.5, abs=1.0)
    assert len(window.pcm) / SAMPLE_RATE_HZ == pytest.approx(
        window.speech[-1].end_s / 2 - window.pcm_start_s / 2, abs=0.01
    )
    assert report.end_s == pytest.approx(25.5, abs=0.01)


def test_a_clip_keeps_the_files_own_times(model: SpeechModel) -> None:
    data = wav_bytes(np.concatenate((noise(20.0), speech(), noise(20.0))))
    (window,), report, _ = read(model, data, a_media_job(clip=Span(18.0, 40.0)))
    assert window.core == Span(18.0, 40.0)
    assert window.speech[0].start_s == pytest.approx(20.0, abs=1.0)
    assert report.end_s == 40.0
    assert report.warnings == ()


def test_a_call_with_a_voice_on_each_channel_is_read_apart(model: SpeechModel) -> None:
    path = RECORDINGS / "parcel-call.opus"
    apart, _ = decode(path, split=True)
    windows, report, _ = read(model, path, a_media_job(split=True))
    assert {window.channel for window in windows} == {0, 1}
    for window in windows:
        assert window.channel is not None
        start = round(window.pcm_start_s * SAMPLE_RATE_HZ)
        assert np.array_equal(window.pcm, apart[window.channel, start : start + len(window.pcm)])
    mono, mixed, _ = read(model, path)
    assert [window.channel for window in mono] == [None]
    assert report.speech_s > 0.5 * mixed.speech_s


def taking_turns(leak_db: float) -> Pcm:
    """Two people, one on each channel; each is heard on the other's channel at `leak_db`."""
    voice = speech()
    a = np.concatenate((voice, silence(12.0)))
    b = np.concatenate((silence(12.0), voice))
    length = max(len(a), len(b))
    a, b = (np.pad(part, (0, length - len(part))) for part in (a, b))
    leak = 10.0 ** (leak_db / 20.0)
    return np.stack((a + leak * b, b + leak * a)).clip(-32768, 32767).astype(np.int16)


def test_crosstalk_is_not_a_channels_speech(model: SpeechModel) -> None:
    clean, _, _ = read(model, wav_bytes(taking_turns(-120.0)), a_media_job(split=True))
    leaking, _, _ = read(model, wav_bytes(taking_turns(-22.0)), a_media_job(split=True))
    assert [window.channel for window in leaking] == [window.channel for window in clean]
    for with_leak, without in zip(leaking, clean, strict=True):
        assert len(with_leak.speech) == len(without.speech) == 1
        assert with_leak.speech[0].start_s == pytest.approx(without.speech[0].start_s, abs=0.5)
        assert with_leak.speech[0].end_s == pytest.approx(without.speech[0].end_s, abs=0.5)


def test_without_the_gate_the_leak_would_be_heard(model: SpeechModel) -> None:
    """The leak of the test above is loud enough for the detector: the gate is what drops it."""
    leaking = taking_turns(-22.0)[:1]
    (window,), _, _ = read(model, wav_bytes(leaking))
    assert len(window.speech) == 2


def test_a_faint_voice_on_a_channel_of_its_own_is_kept(model: SpeechModel) -> None:
    """18 dB fainter than the other side, but not at the same time."""
    voice = speech().astype(np.float64)
    pause = silence(12.0)
    pcm = np.stack((np.concatenate((voice, pause)), np.concatenate((pause, voice * 0.125)))).astype(np.int16)
    windows, _, _ = read(model, wav_bytes(pcm), a_media_job(split=True))
    assert {window.channel for window in windows} == {0, 1}


def test_silence_is_a_file_without_speech(model: SpeechModel) -> None:
    windows, report, _ = read(model, wav_bytes(silence(30.0)))
    assert windows == []
    assert codes(report) == {Notice.NO_SPEECH}
    assert report.decoded_s == pytest.approx(30.0)


def test_progress_is_told_through_long_silence(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcriber_worker.media.reading.STEP_S", 60.0)
    windows, _, progress = read(model, wav_bytes(silence(210.0)))
    assert windows == []
    assert [round(step.position_s, -1) for step in progress] == [70, 130, 200]


def test_a_header_without_samples_holds_no_audio(model: SpeechModel) -> None:
    with pytest.raises(RejectJob) as caught:
        read(model, wav_bytes(silence(0.0)))
    assert caught.value.reason is Reason.MEDIA_NO_AUDIO


def test_a_file_of_which_nothing_decodes_is_unreadable(model: SpeechModel, tmp_path: Path) -> None:
    data = bytearray(write_media(tmp_path / "a.m4a", speech()).read_bytes())
    body = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if b"moov" in data[body:] else len(data)
    data[body:end] = b"\xff" * (end - body)
    with pytest.raises(RejectJob) as caught:
        read(model, bytes(data))
    assert caught.value.reason is Reason.MEDIA_UNREADABLE


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "m4a", "mkv", "opus"])
def test_a_file_known_to_be_too_long_is_refused_before_anything_is_decoded(
    model: SpeechModel, tmp_path: Path, ending: str
) -> None:
    data = write_media(tmp_path / f"a.{ending}", noise(10.0)).read_bytes()
    with pytest.raises(RejectJob) as caught:
        Reading(open_media(io.BytesIO(data)), a_media_job(max_duration_s=6.0), model)
    assert caught.value.reason is Reason.MEDIA_TOO_LONG


@pytest.mark.parametrize("ending", ["aac", "ac3"])
def test_a_guessed_length_refuses_nothing(model: SpeechModel, tmp_path: Path, ending: str) -> None:
    data = write_media(tmp_path / f"a.{ending}", noise(10.0)).read_bytes()
    Reading(open_media(io.BytesIO(data)), a_media_job(max_duration_s=6.0), model)


def test_a_clip_of_a_file_that_is_too_long_is_read(model: SpeechModel) -> None:
    data = wav_bytes(silence(100.0))
    _, report, _ = read(model, data, a_media_job(max_duration_s=60.0, clip=Span(50.0, 95.0)))
    assert report.decoded_s == pytest.approx(45.0)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "m4a", "mkv"])
def test_a_file_cut_off_is_reported(model: SpeechModel, tmp_path: Path, ending: str) -> None:
    sound = np.concatenate((speech(), noise(8.0)))
    options = {"movflags": "faststart"} if ending == "m4a" else {}
    data = write_media(tmp_path / f"a.{ending}", sound, options=options).read_bytes()
    _, whole, _ = read(model, data)
    assert Notice.TRUNCATED not in codes(whole)
    _, report, _ = read(model, data[: len(data) // 2])
    assert Notice.TRUNCATED in codes(report)
    (warning,) = [warning for warning in report.warnings if warning.code == Notice.TRUNCATED]
    assert warning.span is not None
    assert warning.span.start_s == pytest.approx(report.end_s)
    assert warning.span.end_s == pytest.approx(16.5, abs=0.2)


def test_a_packet_whose_size_is_a_lie_ends_the_file_there(model: SpeechModel, tmp_path: Path) -> None:
    """A size of half a gigabyte in the middle of an mp4's table: FFmpeg calls that out of memory."""
    data = bytearray(write_media(tmp_path / "a.m4a", np.concatenate((speech(), noise(8.0)))).read_bytes())
    sizes = data.index(b"stsz") + 16
    data[sizes + 400 * 4 : sizes + 401 * 4] = (0x20000000).to_bytes(4, "big")
    _, report, _ = read(model, bytes(data))
    assert codes(report) == {Notice.DAMAGED, Notice.TRUNCATED}
    assert report.decoded_s == pytest.approx(400 * 1024 / 44_100, abs=0.1)


def test_a_whole_mp3_of_variable_rate_without_a_frame_count_is_not_called_truncated(
    model: SpeechModel, tmp_path: Path
) -> None:
    """FFmpeg guesses its length from the first packets: silence first, then noise, so the guess is far too long."""
    sound = np.concatenate((silence(10.0), noise(10.0)))
    data = write_media(tmp_path / "a.mp3", sound, options={"write_xing": "0", "q": "2"}).read_bytes()
    _, report, _ = read(model, data)
    assert codes(report) == {Notice.NO_SPEECH}


CORPUS: Mapping[str, tuple[float, set[str]]] = {
    "corrupt_middle.mp3": (99.53, {Notice.DAMAGED}),
    "truncated.mp3": (34.25, {Notice.TRUNCATED}),
    "8ch.wav": (11.0, set()),
    "nan.wav": (11.0, set()),
    "video_audio.mp4": (11.08, set()),
}


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_files_that_hold_speech(model: SpeechModel, name: str) -> None:
    decoded_s, warnings = CORPUS[name]
    windows, report, _ = read(model, corpus(f"hostile/{name}"))
    assert report.decoded_s == pytest.approx(decoded_s, abs=0.05)
    assert codes(report) == warnings
    assert sum(span.duration_s for window in windows for span in window.speech) > 0.8 * decoded_s


def test_damage_is_reported_with_its_place(model: SpeechModel) -> None:
    _, report, _ = read(model, RECORDINGS / "storm-damaged.mp3")
    assert Notice.DAMAGED in codes(report)
    assert report.damaged_packets > 0
    assert report.gaps
