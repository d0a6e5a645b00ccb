"""Files that mean harm, read by the real process: each ends as a transcript with a warning or with the right reason, no
other file is opened, and a process that turns against the worker is ended."""

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from tests.media_files import RECORDINGS, SLABS, corpus, noise, speech, wav_bytes, write_media
from transcriber_worker.domain.audio import MediaInfo, MediaReport, Notice, Span
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.desk import Desk
from transcriber_worker.media.permits import CpuPermits
from transcriber_worker.media.places import Places
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.media.process import ReaderProcess
from transcriber_worker.media.protocol import PREFIX, Progress, Ready, encode, max_payload_bytes
from transcriber_worker.media.stream import ReaderStream
from transcriber_worker.settings import MediaSettings


@pytest.fixture(scope="module")
def pool() -> Iterator[MediaPool]:
    pool = MediaPool(MediaSettings(), SLABS, 2, SystemClock())
    yield pool
    pool.close()


def request(path: Path) -> MediaRequest:
    return MediaRequest(path, MediaOptions(), CancelToken())


def outcome(pool: MediaPool, path: Path) -> MediaReport | Reason:
    try:
        with pool.open(request(path)) as stream:
            list(stream.windows())
            return stream.report
    except RejectJob as error:
        return error.reason


class Watch:
    """Counts how often a file is opened, by anybody."""

    _IN_OPEN = 0x20
    _EVENT = struct.Struct("iIII")

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), self._IN_OPEN) >= 0

    def opened(self) -> int:
        """Since the last look."""
        try:
            return len(os.read(self._descriptor, 65_536)) // self._EVENT.size
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def neighbour(tmp_path: Path) -> Path:
    return write_media(tmp_path / "secret.wav", noise(1.0))


def ffconcat(secret: Path) -> bytes:
    return f"ffconcat version 1.0\nfile {secret.name}\n".encode()


def m3u8(secret: Path) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize("name", ["source", "trick.mp3", "trick.m3u8", "trick.wav"])
@pytest.mark.parametrize("trick", [ffconcat, m3u8])
def test_a_playlist_is_refused_and_the_file_it_names_is_not_opened(
    pool: MediaPool, neighbour: Path, name: str, trick: Callable[[Path], bytes]
) -> None:
    path = neighbour.with_name(name)
    path.write_bytes(trick(neighbour))
    watch = Watch(neighbour)
    assert outcome(pool, path) is Reason.MEDIA_NOT_ALLOWED
    assert watch.opened() == 0
    watch.close()


def test_plain_pyav_falls_for_it(neighbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail: the trick works, and the watch sees it."""
    monkeypatch.chdir(neighbour.parent)
    path = neighbour.with_name("trick.mp3")
    path.write_bytes(ffconcat(neighbour))
    watch = Watch(neighbour)
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 16_000
    assert watch.opened() > 0
    watch.close()


def test_a_movie_that_names_another_file_does_not_get_it(pool: MediaPool, neighbour: Path) -> None:
    movie = write_media(neighbour.with_name("movie.mov"), noise(1.0, seed=2)).read_bytes()
    entry = movie.index(b"url ", movie.index(b"dref"))
    address = f"file://{neighbour}".encode() + b"\0"
    path = neighbour.with_name("source")
    path.write_bytes(movie[: entry + 4] + b"\0\0\0\0" + address + movie[entry + 8 :])
    watch = Watch(neighbour)
    outcome(pool, path)
    assert watch.opened() == 0
    watch.close()


GARBAGE = {
    "nothing": (b"", Reason.MEDIA_UNREADABLE),
    "text": (b"It was a dark and stormy night. " * 300, Reason.MEDIA_UNREADABLE),
    "random bytes": (np.random.default_rng(1).bytes(50_000), Reason.MEDIA_UNREADABLE),
    "a header alone": (wav_bytes(np.empty(0, np.int16)), Reason.MEDIA_NO_AUDIO),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_audio_is_refused(pool: MediaPool, tmp_path: Path, what: str) -> None:
    data, reason = GARBAGE[what]
    path = tmp_path / "source"
    path.write_bytes(data)
    assert outcome(pool, path) is reason


def test_links_and_folders_are_not_files(pool: MediaPool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(RECORDINGS / "ferry-notice.wav")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        assert outcome(pool, tmp_path / name) is Reason.MEDIA_UNREADABLE


def test_a_file_that_is_gone_is_not_the_files_fault(pool: MediaPool, tmp_path: Path) -> None:
    with pytest.raises(RetryJob):
        pool.open(request(tmp_path / "source"))


def test_a_module_beside_the_source_is_not_imported(pool: MediaPool, tmp_path: Path) -> None:
    for name in ("numpy.py", "av.py", "json.py", "onnxruntime.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the scratch folder')\n")
    path = tmp_path / "source"
    path.write_bytes(wav_bytes(speech()))
    assert isinstance(outcome(pool, path), MediaReport)


HOSTILE: dict[str, Reason | set[str]] = {
    "8ch.wav": set(),
    "corrupt_middle.mp3": {Notice.DAMAGED},
    "empty.mp3": Reason.MEDIA_UNREADABLE,
    "header_only.wav": Reason.MEDIA_NO_AUDIO,
    "nan.wav": set(),
    "playlist_trick.m3u8": Reason.MEDIA_NOT_ALLOWED,
    "playlist_trick.mp3": Reason.MEDIA_NOT_ALLOWED,
    "text.mp3": Reason.MEDIA_UNREADABLE,
    "truncated.mp3": {Notice.TRUNCATED},
    "video_audio.mp4": set(),
    "video_noaudio.mp4": Reason.MEDIA_NO_AUDIO,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_file_of_the_corpus_ends_as_it_should(pool: MediaPool, name: str) -> None:
    wanted = HOSTILE[name]
    got = outcome(pool, corpus(f"hostile/{name}"))
    if isinstance(wanted, Reason):
        assert got is wanted
    else:
        assert isinstance(got, MediaReport)
        assert {warning.code for warning in got.warnings} == wanted


READY = b"".join(encode(Ready(())))
INFO = b"".join(encode(MediaInfo("wav", "pcm_s16le", 1, 16_000, None)))


LIMITS = WindowLimits(speech_s=0.6, span_s=300.0)


def a_window_frame(
    index: int, *, core: tuple[float, float] = (0.0, 1.0), channel: str = "null", speech_s: float = 0.5
) -> bytes:
    header = (
        f'{{"kind":"window","index":{index},"channel":{channel},"core":[{core[0]},{core[1]}],"pcm_start_s":0,'
        f'"speech":[[0,{speech_s}]],"speed":1.0,"pauses":[]}}'
    ).encode()
    return PREFIX.pack(b"TWM1", len(header), 32_000) + header + bytes(32_000)


ROGUES = {
    "other bytes": READY + INFO + b"HTTP/1.1 200 OK\r\n\r\n",
    "a giant header": READY + INFO + PREFIX.pack(b"TWM1", 0xFFFFFFFF, 0),
    "a giant payload": READY + INFO + PREFIX.pack(b"TWM1", 2, 0xFFFFFFFE),
    "a pickle": READY + INFO + PREFIX.pack(b"TWM1", 6, 0) + b"\x80\x04K\x01.\n",
    "windows before the header": READY + a_window_frame(0),
    "the header twice": READY + INFO + INFO,
    "windows out of order": READY + INFO + a_window_frame(1),
    "a window twice": READY + INFO + a_window_frame(0) + a_window_frame(0),
    "a core that goes back": READY + INFO + a_window_frame(0, core=(0.0, 9.0)) + a_window_frame(1, core=(2.0, 3.0)),
    "a channel nobody asked for": READY + INFO + a_window_frame(0, channel="3"),
    "a core beyond all bounds": READY + INFO + a_window_frame(0, core=(0.0, 9e8)),
    "more speech than the engine takes": READY + INFO + a_window_frame(0, speech_s=0.9),
    "ready twice": READY + READY,
    "more channels than are kept apart": READY + INFO + a_window_frame(0, channel="8"),
    "speech far from its core": READY + INFO + a_window_frame(0, core=(0.0, 9.0)) + a_window_frame(1, core=(9.0, 12.0)),
    "windows without end where time stands still": READY
    + INFO
    + b"".join(a_window_frame(index, core=(0.0, 0.0)) for index in range(100)),
}
SPLIT = {"more channels than are kept apart"}


def rogue_stream(program: list[str], options: MediaOptions | None = None) -> tuple[ReaderStream, ReaderProcess]:
    settings = MediaSettings(window_timeout_s=10.0)
    process = ReaderProcess(settings, max_payload_bytes(LIMITS), SystemClock(), program)
    process.wait_ready()
    desk = Desk(Places(1), lambda: process, ReaderProcess.close, CancelToken())
    asked = MediaRequest(Path("/source"), options or MediaOptions(), CancelToken())
    return ReaderStream(asked, desk, CpuPermits(1), settings, LIMITS), process


def says(folder: Path, data: bytes, then: str = "time.sleep(600)") -> list[str]:
    """A program that says this and then does that, whatever it is told."""
    script = folder / "rogue"
    script.write_bytes(data)
    code = (
        f"import os, sys, time\nsys.stdout.buffer.write(open({str(script)!r}, 'rb').read())\nsys.stdout.flush()\n{then}"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("name", ROGUES)
def test_a_process_that_breaks_the_protocol_is_ended_and_its_file_refused(tmp_path: Path, name: str) -> None:
    options = MediaOptions(channels=Channels.SPLIT if name in SPLIT else Channels.MIX)
    stream, process = rogue_stream(says(tmp_path, ROGUES[name]), options)
    with stream, pytest.raises(RejectJob) as caught:
        stream.begin()
        list(stream.windows())
    assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED
    assert "out of control" in caught.value.message
    assert not psutil.pid_exists(process.pid)


def test_but_for_what_makes_them_rogues_they_say_nothing_wrong(tmp_path: Path) -> None:
    stream, process = rogue_stream(says(tmp_path, READY + INFO + a_window_frame(0)))
    with stream:
        stream.begin()
        assert next(iter(stream.windows())).core == Span(0.0, 1.0)
    assert not psutil.pid_exists(process.pid)


def test_a_process_that_floods_stderr_neither_blocks_nor_fills_memory(tmp_path: Path) -> None:
    flood = "for _ in range(2000): os.write(2, b'x' * 65536)\nos.write(1, %r)\ntime.sleep(600)"
    frame = b"".join(encode(Progress(1.0)))
    stream, process = rogue_stream(says(tmp_path, READY + INFO, then=flood % frame))
    before = psutil.Process().memory_info().rss
    with stream:
        stream.begin()
        process.grant()
        assert process.receive(60.0) == Progress(1.0)
        assert psutil.Process().memory_info().rss - before < 64 * 1024 * 1024


def test_a_process_that_ends_early_is_tried_again_with_its_last_words(tmp_path: Path) -> None:
    stream, _ = rogue_stream(says(tmp_path, READY + INFO, then="sys.exit('out of ideas')"))
    with stream, pytest.raises(RetryJob, match="out of ideas"):
        stream.begin()
        list(stream.windows())


def test_a_process_that_says_nothing_at_all_is_ended_after_the_limit(tmp_path: Path) -> None:
    settings = MediaSettings(window_timeout_s=0.5)
    process = ReaderProcess(settings, 100, SystemClock(), says(tmp_path, READY))
    process.wait_ready()
    with pytest.raises(RejectJob):
        process.receive(settings.window_timeout_s)
    process.close()
    assert not psutil.pid_exists(process.pid)
