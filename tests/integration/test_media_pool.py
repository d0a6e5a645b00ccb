"""The pool with its real reader processes: what comes out of them."""

import io
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.integration.media_pools import GOOD, a_pool, opened, request, until
from tests.media_files import PACKED, RECORDINGS, SLABS, a_media_job, corpus, speech, spoken, wav_bytes
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media.base import MediaReader, MediaStream, WindowLimits
from transcriber_worker.media.opening import open_media
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.media.reading import Reading
from transcriber_worker.media.vad import SpeechModel


def test_the_pool_is_a_media_reader(pool: MediaPool) -> None:
    reader: MediaReader = pool
    with reader.open(request(GOOD)) as stream:
        assert stream.info.container == "wav"
        with pytest.raises(RuntimeError):
            _ = stream.report
        (window,) = stream.windows()
        assert stream.report.decoded_s == pytest.approx(8.5, abs=0.01)
        assert len(spoken(window)) > 7 * 16_000


@pytest.mark.parametrize(
    ("name", "options", "limits"),
    [
        ("night-train.opus", MediaOptions(), PACKED),
        ("parcel-call.opus", MediaOptions(channels=Channels.SPLIT), PACKED),
        ("parcel-call.opus", MediaOptions(channels=Channels.SPLIT), SLABS),
        ("slow-clock.m4a", MediaOptions(clip=Span(2.0, 20.0), speed=1.5), SLABS),
        ("storm-damaged.mp3", MediaOptions(), SLABS),
    ],
)
def test_the_process_gives_what_reading_in_process_gives(
    name: str, options: MediaOptions, limits: WindowLimits
) -> None:
    job = a_media_job(split=options.channels is Channels.SPLIT, clip=options.clip, speed=options.speed, limits=limits)
    reading = Reading(open_media(io.BytesIO((RECORDINGS / name).read_bytes())), job, SpeechModel())
    wanted = [step for step in reading.steps() if isinstance(step, Window)]
    with a_pool(limits=limits) as pool, pool.open(request(RECORDINGS / name, options=options)) as stream:
        got = list(stream.windows())
        assert stream.report.gaps == reading.report.gaps
        assert stream.report.warnings == reading.report.warnings
    assert len(got) == len(wanted) > 0
    for mine, theirs in zip(got, wanted, strict=True):
        assert np.array_equal(mine.pcm, theirs.pcm)
        for field in ("index", "channel", "core", "pcm_start_s", "speech", "speed", "pauses"):
            assert getattr(mine, field) == getattr(theirs, field)


def test_a_window_is_made_only_when_asked_for(pool: MediaPool, tmp_path: Path) -> None:
    """After the first slab of 300 s the process stands at little more than a third of the 850 s file, and waits."""
    path = tmp_path / "source"
    path.write_bytes(wav_bytes(np.tile(speech(), 100)))
    stream, pid = opened(pool, path)
    with stream:
        windows = stream.windows()
        next(windows)
        process = psutil.Process(pid)
        until(lambda: process.status() == psutil.STATUS_SLEEPING)
        (file,) = process.open_files()
        assert 0.3 < file.position / path.stat().st_size < 0.45
        next(windows)
        (file,) = process.open_files()
        assert file.position / path.stat().st_size > 0.6


def test_long_audio_comes_in_slabs(pool: MediaPool) -> None:
    with pool.open(request(corpus("talk11m.mp3"))) as stream:
        windows = list(stream.windows())
    assert len(windows) == 3
    assert all(window.duration_s <= 300.0 for window in windows)


def test_several_files_at_once_each_get_their_own(pool: MediaPool) -> None:
    names = ["ferry-notice.wav", "good-bread.mp3", "slow-clock.m4a", "water-meter.wav"]
    found: dict[str, float] = {}

    def read(name: str) -> None:
        with pool.open(request(RECORDINGS / name)) as stream:
            list(stream.windows())
            found[name] = stream.report.end_s

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {
        "ferry-notice.wav": pytest.approx(8.496, abs=0.01),
        "good-bread.mp3": pytest.approx(23.56, abs=0.01),
        "slow-clock.m4a": pytest.approx(25.98, abs=0.05),
        "water-meter.wav": pytest.approx(16.47, abs=0.01),
    }


def test_a_stream_outlives_the_thread_that_opened_it(pool: MediaPool) -> None:
    """The kernel's parent-death signal comes when the thread that spawned ends; that is never a job's thread."""
    got: list[MediaStream] = []
    opener = threading.Thread(target=lambda: got.append(pool.open(request(GOOD))))
    opener.start()
    opener.join(60)
    with got[0] as stream:
        assert len(list(stream.windows())) == 1
    with pool.open(request(GOOD)) as stream:
        assert len(list(stream.windows())) == 1, "the one that the ended thread spawned ahead"
