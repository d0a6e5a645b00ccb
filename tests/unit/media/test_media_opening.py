"""Which files are opened, and what is said about those that are not. The last line, the system call filter, is tested
with the real process in tests/integration/test_media_hostile.py; here each of the lines before it stands alone."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media_files import noise, tone, write_media
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media import formats, opening
from transcriber_worker.media.opening import OpenedMedia, open_media


def refusal(data: bytes) -> Reason:
    with pytest.raises(RejectJob) as caught:
        open_media(io.BytesIO(data))
    return caught.value.reason


def opened(path: Path) -> OpenedMedia:
    with path.open("rb") as file:
        return open_media(file)


PLAYLISTS = {
    "ffconcat": b"ffconcat version 1.0\nfile 'secret.wav'\n",
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "m3u8 behind a byte order mark": b"\xef\xbb\xbf#EXTM3U\nhttp://169.254.169.254/\n",
    "sdp": b"v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\ns=x\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n",
    "dash": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>',
    "ffmetadata": b";FFMETADATA1\ntitle=x\n",
    "pls": b"[playlist]\nFile1=http://10.0.0.1/\n",
    "asx": b"<ASX version='3'><entry><ref href='http://10.0.0.1/'/></entry></ASX>",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_lists_of_other_files_are_refused_by_how_they_look(name: str) -> None:
    assert refusal(PLAYLISTS[name]) is Reason.MEDIA_NOT_ALLOWED


@pytest.mark.parametrize("name", ["ffconcat", "sdp", "ffmetadata"])
def test_a_list_that_does_not_look_like_one_is_refused_by_its_demuxer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "looks_like_playlist", lambda head: False)
    assert refusal(PLAYLISTS[name]) is Reason.MEDIA_NOT_ALLOWED


@pytest.fixture
def neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield write_media(tmp_path / "secret.wav", noise(1.0))


@pytest.fixture
def concat_let_in(neighbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two lines are down: the look at the file, and the list of demuxers. The trick works on plain PyAV."""
    trick = neighbour.with_name("trick.mp3")
    trick.write_bytes(PLAYLISTS["ffconcat"])
    with av.open(str(trick)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 16_000
    monkeypatch.setattr(formats, "looks_like_playlist", lambda head: False)
    monkeypatch.setattr(formats, "DEMUXERS", (*formats.DEMUXERS, "concat"))


def test_a_demuxer_that_asks_for_a_second_file_is_refused(neighbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hls asks whoever opened the list to open the parts."""
    trick = neighbour.with_name("trick.m3u8")
    trick.write_bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n")
    with av.open(str(trick), options={"allowed_extensions": "ALL", "extension_picky": "0"}) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 16_000
    monkeypatch.setattr(formats, "looks_like_playlist", lambda head: False)
    monkeypatch.setattr(formats, "DEMUXERS", (*formats.DEMUXERS, "hls"))
    monkeypatch.setattr(opening, "_PROTOCOLS", "file")
    monkeypatch.setattr(opening, "_PROBE", {"allowed_extensions": "ALL", "extension_picky": "0"})
    monkeypatch.setattr(opening._Anonymous, "name", "trick.m3u8")
    assert refusal(trick.read_bytes()) is Reason.MEDIA_NOT_ALLOWED


@pytest.mark.usefixtures("concat_let_in")
def test_a_demuxer_that_opens_a_second_file_by_itself_has_no_protocol_to_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_refuse", None)
    assert refusal(PLAYLISTS["ffconcat"]) is Reason.MEDIA_UNREADABLE


def test_a_movie_that_names_an_external_file_does_not_get_it(neighbour: Path) -> None:
    """A `dref` entry whose flag "the data are in this file" is cleared and whose address points next door."""
    movie = write_media(neighbour.with_name("movie.mov"), tone(1.0)).read_bytes()
    entry = movie.index(b"url ", movie.index(b"dref"))
    assert movie[entry + 4 : entry + 8] == b"\0\0\0\1"
    trick = movie[: entry + 4] + b"\0\0\0\0" + movie[entry + 8 :]
    media = open_media(io.BytesIO(trick))
    frames = [frame.to_ndarray() for frame in media.container.decode(media.stream)]
    original = np.frombuffer(neighbour.read_bytes()[-32_000:], np.int16)
    assert not any(np.array_equal(frame[0][:1000], original[: frame.shape[1]][:1000]) for frame in frames)


def test_text_marks_inside_a_recording_are_no_playlist() -> None:
    assert not formats.looks_like_playlist(b"RIFF....WAVE#EXTM3U")
    assert not formats.looks_like_playlist(b"<?xml version='1.0'?><note>#EXTM3U</note>")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MEDIA_UNREADABLE),
        (b"It was a dark and stormy night. " * 300, Reason.MEDIA_UNREADABLE),
        (np.random.default_rng(1).bytes(20_000), Reason.MEDIA_UNREADABLE),
        (b"RIFF\xff\xff\xff\xffWAVE", Reason.MEDIA_UNREADABLE),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(200), Reason.MEDIA_UNREADABLE),
        (b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(50), Reason.MEDIA_UNREADABLE),
    ],
)
def test_what_is_no_media_is_unreadable(data: bytes, reason: Reason) -> None:
    assert refusal(data) is reason


def test_a_video_without_sound_has_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    assert refusal(path.read_bytes()) is Reason.MEDIA_NO_AUDIO


def test_a_codec_off_the_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_media(tmp_path / "a.wma", tone(0.5))
    monkeypatch.setattr(formats, "DECODERS", formats.DECODERS - {"wmav2"})
    assert refusal(path.read_bytes()) is Reason.MEDIA_NOT_ALLOWED


@pytest.mark.parametrize(
    "ending", ["wav", "flac", "mp3", "opus", "m4a", "mkv", "mov", "aac", "ac3", "aiff", "caf", "ts"]
)
def test_the_header_is_told(tmp_path: Path, ending: str) -> None:
    info = opened(write_media(tmp_path / f"a.{ending}", tone(2.0))).info
    assert info.channels == 1
    assert info.sample_rate_hz > 0
    assert info.duration_s == pytest.approx(2.0, abs=0.6)


@pytest.mark.parametrize(
    ("ending", "stated"),
    [("wav", True), ("flac", True), ("m4a", True), ("mkv", True), ("mp3", True), ("aac", False), ("ts", False)],
)
def test_a_duration_counts_as_stated_only_where_a_header_states_it(tmp_path: Path, ending: str, stated: bool) -> None:
    media = opened(write_media(tmp_path / f"a.{ending}", tone(2.0)))
    assert media.stated_s == (pytest.approx(2.0, abs=0.1) if stated else None)


def test_the_duration_of_an_mp3_without_a_frame_count_is_a_guess(tmp_path: Path) -> None:
    plain = write_media(tmp_path / "a.mp3", tone(2.0), options={"write_xing": "0"})
    assert opened(plain).stated_s is None
    tagged = tmp_path / "b.mp3"
    tagged.write_bytes(
        b"ID3\x04\x00\x00\x00\x00\x20\x00" + bytes(4096) + write_media(tmp_path / "c.mp3", tone(2.0)).read_bytes()
    )
    assert opened(tagged).stated_s == pytest.approx(2.0, abs=0.1)


def test_the_files_name_has_no_say(tmp_path: Path) -> None:
    """By its name alone FFmpeg would take this text for mp3 and decode it."""
    path = tmp_path / "text.mp3"
    path.write_bytes(b"It was a dark and stormy night. " * 300)
    with pytest.raises(RejectJob) as caught:
        opened(path)
    assert caught.value.reason is Reason.MEDIA_UNREADABLE


def test_every_demuxer_and_decoder_on_the_lists_exists() -> None:
    """A misspelt name would never be missed; one that this build of FFmpeg lacks is dead weight."""
    missing = {name for name in formats.DECODERS if name not in av.codecs_available}
    assert not missing - {"gsm_ms"}
    assert set(formats.DEMUXERS) - av.formats_available <= {"m4a", "3gp", "mj2"}
