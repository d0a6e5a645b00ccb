"""Which files make a workload, and what is known of their texts."""

import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from tests.speech import a_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, MediaInfo, MediaReport, Pcm, Span, Window
from transcriber_worker.media.base import MediaRequest, MediaStream
from transcriber_worker.tools.bench.recordings import NoRecordings, read_speech, recordings_at, write_wav
from transcriber_worker.tools.bench.workloads import Load, Workshop


@dataclass
class WavReader:
    """A `MediaReader` of wav files: windows of ten seconds with a second of context, a pause in the middle of each."""

    window_s: float = 10.0

    def open(self, request: MediaRequest) -> MediaStream:
        return _WavStream(request.path, self.window_s)

    def close(self) -> None: ...


class _WavStream:
    def __init__(self, path: Path, window_s: float) -> None:
        self.pcm = samples_of(path)
        self._step = round(window_s * SAMPLE_RATE_HZ)
        self.info = MediaInfo("wav", "pcm", 1, SAMPLE_RATE_HZ, None)
        self.report = MediaReport(0.0, len(self.pcm) / SAMPLE_RATE_HZ, 0.0)

    def windows(self) -> Iterator[Window]:
        for index, start in enumerate(range(0, len(self.pcm), self._step)):
            from_s = max(0, start - SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
            pcm = self.pcm[round(from_s * SAMPLE_RATE_HZ) : start + self._step]
            end_s, middle_s = from_s + len(pcm) / SAMPLE_RATE_HZ, (start + self._step / 2) / SAMPLE_RATE_HZ
            window = a_window(index, start_s=from_s, pcm=pcm, speech=[Span(from_s, end_s)])
            pauses = (Span(middle_s - 0.1, middle_s + 0.1),) if middle_s < end_s else ()
            yield Window(index, None, window.core, from_s, pcm, window.speech, pauses=pauses)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


def samples_of(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def record(folder: Path, name: str, seconds: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(name)).integers(-900, 900, round(seconds * SAMPLE_RATE_HZ), np.int16)
    write_wav(folder / name, samples)
    return folder / name


def a_folder(folder: Path, *entries: dict[str, Any]) -> Path:
    for entry in entries:
        record(folder, entry["file"], entry.pop("seconds", 12.0))
    (folder / "manifest.json").write_text(json.dumps({"recordings": entries}))
    return folder


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return a_folder(
        tmp_path / "recordings",
        {"file": "a.wav", "language": "en", "text": "Alpha."},
        {"file": "b.wav", "language": "de", "text": "Beta."},
        {"file": "c.wav", "language": "en", "text": "Gamma.", "seconds": 25.0},
        {"file": "d.wav", "language": "en", "text": "Delta.", "damaged": True},
    )


def workshop(place: Path, tmp_path: Path, **options: Any) -> Workshop:
    return Workshop(WavReader(), place, tmp_path / "made", **options)


def test_a_folder_is_taken_as_it_is_but_for_what_is_damaged(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings, tmp_path).make(Load.FOLDER)
    assert [(item.path.name, item.audio_s, item.text) for item in workload.items] == [
        ("a.wav", 12.0, "Alpha."),
        ("b.wav", 12.0, "Beta."),
        ("c.wav", 25.0, "Gamma."),
    ]
    assert workload.audio_s == 49.0


def test_a_long_recording_is_put_together_from_those_of_one_language(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings, tmp_path, long_s=70.0).make(Load.LONG)
    assert len(workload.items) == 3
    (item,) = set(workload.items)
    assert item.text == "Alpha. Gamma. Gamma. Alpha."
    assert len(samples_of(item.path)) / SAMPLE_RATE_HZ == pytest.approx(item.audio_s)
    assert item.audio_s >= 70.0


def test_a_backlog_is_many_long_ones_that_begin_with_another_recording_each(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings, tmp_path, long_s=20.0, backlog=3).make(Load.BACKLOG)
    first, second, third = (samples_of(item.path) for item in workload.items)
    assert np.array_equal(first, third)  # there are two to begin with
    assert np.array_equal(first[:16_000], samples_of(recordings / "a.wav")[:16_000])
    assert np.array_equal(second[:16_000], samples_of(recordings / "c.wav")[:16_000])
    assert all(item.text is None and item.audio_s >= 20.0 for item in workload.items)


def test_a_backlog_of_a_recording_that_is_named_is_that_one_again_and_again(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings / "c.wav", tmp_path, backlog=4).make(Load.BACKLOG)
    assert [(item.path, item.text) for item in workload.items] == [(recordings / "c.wav", None)] * 4


def test_a_recording_that_is_named_is_the_long_one_itself(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings / "c.wav", tmp_path).make(Load.LONG)
    assert {(item.path, item.text) for item in workload.items} == {(recordings / "c.wav", "Gamma.")}


def test_clips_are_parts_of_the_long_one(recordings: Path, tmp_path: Path) -> None:
    workload = workshop(recordings / "c.wav", tmp_path, clips=24).make(Load.CLIPS)
    whole = samples_of(recordings / "c.wav")
    assert np.array_equal(np.concatenate([samples_of(item.path) for item in workload.items]), whole)
    assert all(item.clip and item.text is None for item in workload.items)
    assert workload.clips_text == "Gamma."


def test_mixed_is_two_long_ones_and_the_clips_behind_them(recordings: Path, tmp_path: Path) -> None:
    made = workshop(recordings / "c.wav", tmp_path, clips=2)
    workload = made.make(Load.MIXED)
    assert [item.path.name for item in workload.items] == ["c.wav", "c.wav", "clip-01.wav", "clip-02.wav"]
    assert workload.clips_text == "Gamma."


def test_the_same_recordings_make_the_same_files(recordings: Path, tmp_path: Path) -> None:
    made = [Workshop(WavReader(), recordings, tmp_path / name).make(Load.CLIPS) for name in ("one", "other")]
    contents = [[item.path.read_bytes() for item in workload.items] for workload in made]
    assert contents[0] == contents[1]


def test_without_a_manifest_no_text_is_known(tmp_path: Path) -> None:
    path = record(tmp_path, "call.wav", 5.0)
    assert [recording.text for recording in recordings_at(path)] == [None]
    workload = workshop(path, tmp_path).make(Load.CLIPS)
    assert workload.clips_text is None


def test_a_manifest_may_be_a_plain_list(tmp_path: Path) -> None:
    path = record(tmp_path, "call.wav", 5.0)
    (tmp_path / "manifest.json").write_text('[{"file": "call.wav", "text": "Hello."}, {"file": "x.mp3", "text": null}]')
    assert [recording.text for recording in recordings_at(path)] == ["Hello."]


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", '[{"text": "whose?"}]'])
def test_what_is_no_manifest_is_said(tmp_path: Path, content: str) -> None:
    record(tmp_path, "call.wav", 1.0)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(NoRecordings, match="is no manifest"):
        recordings_at(tmp_path)


def test_where_nothing_is_it_is_said_what_to_name(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.wav"):
        with pytest.raises(NoRecordings, match="--audio"):
            recordings_at(place)


def test_overlapping_windows_give_the_audio_once(tmp_path: Path) -> None:
    path = record(tmp_path, "call.wav", 25.0)
    speech = read_speech(WavReader(), path)
    assert np.array_equal(speech.pcm, samples_of(path))
    assert speech.spans == (Span(0.0, 25.0),)
    assert [round(pause.start_s, 1) for pause in speech.pauses] == [4.9, 14.9]
