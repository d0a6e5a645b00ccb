"""Packets to samples on the file's own timeline: every format, damage, gaps, clips, tempo, channels."""

from fractions import Fraction
from pathlib import Path

import av
import faster_whisper
import numpy as np
import pytest

from tests.media_files import (
    RECORDINGS,
    corpus,
    decode,
    lag_samples,
    noise,
    silence,
    speech,
    tone,
    wav_bytes,
    write_media,
)
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media.decoder import DecodeOptions, Decoder
from transcriber_worker.media.opening import open_media

LOSSY = ["mp3", "opus", "m4a", "mkv", "aac", "ac3", "ts", "wma"]
LOSSLESS = ["wav", "flac", "mov", "aiff", "caf"]


def rms(pcm: Pcm) -> float:
    return float(np.sqrt(np.mean(np.square(pcm.astype(np.float64))))) if len(pcm) else 0.0


@pytest.mark.parametrize(
    "name",
    [
        "good-bread.mp3",
        "night-train.opus",
        "parcel-call.opus",
        "slow-clock.m4a",
        "water-meter.wav",
        "mercado.ogg",
        "herbstgarten.flac",
    ],
)
def test_samples_equal_those_that_faster_whisper_decodes(name: str) -> None:
    path = RECORDINGS / name
    theirs = np.asarray(faster_whisper.decode_audio(str(path)))
    ours = decode(path)[0][0].astype(np.float32) / 32768.0
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "name", ["lj_100s.mp3", "sonnet2_53s.m4a", "jfk_11s.flac", "hostile/8ch.wav", "hostile/nan.wav"]
)
def test_samples_of_the_corpus_equal_those_that_faster_whisper_decodes(name: str) -> None:
    path = corpus(name)
    theirs = np.asarray(faster_whisper.decode_audio(str(path)))
    assert np.array_equal(decode(path)[0][0].astype(np.float32) / 32768.0, theirs)


@pytest.mark.parametrize("ending", LOSSY + LOSSLESS)
def test_every_format_keeps_its_place(tmp_path: Path, ending: str) -> None:
    """Decoders that need a packet to start leave at most 0.1 s of shift."""
    voice = speech()
    pcm, decoder = decode(write_media(tmp_path / f"a.{ending}", voice))
    assert abs(lag_samples(pcm[0], voice)) <= 0.1 * SAMPLE_RATE_HZ
    assert decoder.decoded_s == pytest.approx(len(voice) / SAMPLE_RATE_HZ, abs=0.15)
    assert decoder.damaged_packets == 0
    assert decoder.gaps == []


def damaged(path: Path, start: float, end: float) -> Path:
    """Random bytes over a share of the file."""
    data = bytearray(path.read_bytes())
    low, high = round(len(data) * start), round(len(data) * end)
    data[low:high] = np.random.default_rng(5).bytes(high - low)
    broken = path.with_stem(path.stem + "-damaged")
    broken.write_bytes(data)
    return broken


@pytest.mark.parametrize("ending", ["mp3", "aac", "ac3", "opus", "mkv", "flac", "ts"])
def test_behind_damage_audio_is_heard_at_its_right_time(tmp_path: Path, ending: str) -> None:
    """A third of a 34 s file is garbage, its last 8.5 s are whole: they come within 0.15 s of their place, though some
    of these formats have no timestamps but those that the demuxer counts."""
    voice = speech()
    whole = np.concatenate((noise(8.0), noise(17.0, seed=8), voice))
    path = damaged(write_media(tmp_path / f"a.{ending}", whole), 0.35, 0.5)
    pcm, decoder = decode(path)
    at = 25 * SAMPLE_RATE_HZ
    assert pcm.shape[1] >= len(whole) - 3 * SAMPLE_RATE_HZ
    assert abs(lag_samples(pcm[0, at:], voice)) <= 0.15 * SAMPLE_RATE_HZ
    assert decoder.decoded_s < len(whole) / SAMPLE_RATE_HZ
    assert sum(gap.duration_s for gap in decoder.gaps) > 1.0


def test_a_corrupt_middle_costs_only_itself() -> None:
    """faster-whisper's own decoder stops at the first bad packet, at half of the file."""
    whole, _ = decode(corpus("lj_100s.mp3"))
    pcm, decoder = decode(corpus("hostile/corrupt_middle.mp3"))
    assert decoder.decoded_s > 95
    assert decoder.damaged_packets == 5
    (gap,) = decoder.gaps
    assert gap.duration_s == pytest.approx(3.33, abs=0.05)
    behind = round((gap.end_s + 1.0) * SAMPLE_RATE_HZ)
    assert abs(lag_samples(pcm[0, behind:], whole[0, behind:])) <= 0.03 * SAMPLE_RATE_HZ


def test_a_damaged_recording_is_heard_to_its_end() -> None:
    pcm, decoder = decode(RECORDINGS / "storm-damaged.mp3")
    assert decoder.damaged_packets > 0
    assert pcm.shape[1] / SAMPLE_RATE_HZ == pytest.approx(decoder.end_s, abs=0.01)
    assert rms(pcm[0, -3 * SAMPLE_RATE_HZ :]) > 100


def with_jump(path: Path, at_s: float, jump_s: float, *, pcm: Pcm) -> Path:
    """Rewrite the packets of a file with their timestamps moved by `jump_s` from `at_s` on."""
    plain = write_media(path.with_stem("plain"), pcm)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = source.streams.audio[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            assert packet.time_base is not None
            if packet.pts * packet.time_base >= at_s:
                packet.pts += round(jump_s / packet.time_base)
                packet.dts += round(jump_s / packet.time_base)
            packet.stream = copy
            target.mux(packet)
    return path


@pytest.mark.parametrize("ending", ["mkv", "m4a"])
def test_a_gap_in_the_timestamps_becomes_silence(tmp_path: Path, ending: str) -> None:
    voice = speech()
    pcm, decoder = decode(with_jump(tmp_path / f"a.{ending}", 4.0, 10.0, pcm=voice))
    (gap,) = decoder.gaps
    assert gap.start_s == pytest.approx(4.0, abs=0.3)
    assert gap.duration_s == pytest.approx(10.0, abs=0.01)
    assert pcm.shape[1] == pytest.approx(len(voice) + 10 * SAMPLE_RATE_HZ, abs=2000)
    assert rms(pcm[0, 5 * SAMPLE_RATE_HZ : 13 * SAMPLE_RATE_HZ]) == 0
    behind = pcm[0, round(14.5 * SAMPLE_RATE_HZ) :]
    assert abs(lag_samples(behind, voice[round(4.5 * SAMPLE_RATE_HZ) :])) < 800
    assert decoder.decoded_s == pytest.approx(len(voice) / SAMPLE_RATE_HZ, abs=0.1)


def test_a_lying_timestamp_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """A jump of 30,000 hours in a file whose header was written to match: silence is put in up to the bound at most."""
    voice = speech()
    path = with_jump(tmp_path / "a.mkv", 4.0, 1.08e8, pcm=voice)
    with path.open("rb") as file:
        decoder = Decoder(open_media(file), DecodeOptions(False, None, 1.0, 60.0))
        samples = sum(block.shape[1] for block in decoder.blocks())
    assert samples <= len(voice) + 61 * SAMPLE_RATE_HZ
    assert decoder.damaged_packets == 1


def test_sound_that_starts_after_the_picture_keeps_its_place(tmp_path: Path) -> None:
    """The file's own timeline begins with its first track."""
    path = tmp_path / "late.mkv"
    voice = speech()
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        for _ in range(60):
            container.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(video.encode(None))
        for at in range(0, len(voice), 4096):
            frame = av.AudioFrame.from_ndarray(voice[None, at : at + 4096], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, at + 3 * SAMPLE_RATE_HZ
            frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    pcm, decoder = decode(path)
    assert abs(lag_samples(pcm[0, 3 * SAMPLE_RATE_HZ :], voice)) <= 32
    assert decoder.gaps == [], "nothing is missing"


def test_files_joined_end_to_end_are_heard_in_full(tmp_path: Path) -> None:
    """Timestamps that begin again (a chained ogg) are no overlap."""
    voice = speech()
    one = write_media(tmp_path / "a.ogg", voice).read_bytes()
    chained = tmp_path / "b.ogg"
    chained.write_bytes(one + one)
    pcm, _ = decode(chained)
    assert pcm.shape[1] == pytest.approx(2 * len(voice), abs=SAMPLE_RATE_HZ)


def test_a_change_of_rate_and_channels_in_the_middle_is_followed(tmp_path: Path) -> None:
    """Two mp3 files of different kinds in one."""
    voice = speech()
    first = write_media(tmp_path / "a.mp3", voice, options={"write_xing": "0"}).read_bytes()
    second_path = tmp_path / "b.mp3"
    with av.open(str(second_path), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(voice[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        resampler = av.AudioResampler("s16p", "stereo", 48_000, frame_size=1152)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    joined = tmp_path / "c.mp3"
    joined.write_bytes(first + second_path.read_bytes())
    pcm, _ = decode(joined)
    assert pcm.shape[1] == pytest.approx(2 * len(voice), abs=0.3 * SAMPLE_RATE_HZ)
    assert abs(lag_samples(pcm[0, len(voice) :], voice, most=6000)) < 6000


@pytest.mark.parametrize("ending", LOSSY + LOSSLESS)
def test_a_clip_is_the_same_stretch_of_the_whole(tmp_path: Path, ending: str) -> None:
    sound = np.concatenate((noise(6.0), speech(), noise(6.0, seed=9)))
    path = write_media(tmp_path / f"a.{ending}", sound)
    whole, _ = decode(path)
    clip = Span(7.25, 12.5)
    pcm, decoder = decode(path, clip=clip)
    assert pcm.shape[1] == round(clip.duration_s * SAMPLE_RATE_HZ)
    assert decoder.start_sample == round(clip.start_s * SAMPLE_RATE_HZ)
    assert decoder.end_s == pytest.approx(clip.end_s)
    assert decoder.decoded_s == pytest.approx(clip.duration_s, abs=0.01)
    lag = lag_samples(pcm[0], whole[0, decoder.start_sample :])
    # Timestamps of mkv are milliseconds; those of wma lie up to a packet beside the audio.
    assert abs(lag) <= (0.1 * SAMPLE_RATE_HZ if ending == "wma" else 16)
    wanted = whole[0, decoder.start_sample - lag :][: pcm.shape[1]]
    assert rms(pcm[0].astype(np.int32) - wanted) < 0.2 * rms(wanted)


def test_a_clip_beyond_the_end_holds_nothing(tmp_path: Path) -> None:
    pcm, decoder = decode(write_media(tmp_path / "a.flac", noise(3.0)), clip=Span(5.0, 9.0))
    assert pcm.shape[1] == 0
    assert decoder.decoded_s == 0


def test_a_clip_over_the_end_stops_there(tmp_path: Path) -> None:
    pcm, decoder = decode(write_media(tmp_path / "a.flac", noise(3.0)), clip=Span(1.0, 9.0))
    assert pcm.shape[1] == pytest.approx(2 * SAMPLE_RATE_HZ, abs=2)
    assert decoder.end_s == pytest.approx(3.0)


@pytest.mark.parametrize("speed", [0.5, 1.25, 2.0, 3.0])
def test_speed_shortens_the_samples_and_keeps_the_pitch(tmp_path: Path, speed: float) -> None:
    pcm, decoder = decode(write_media(tmp_path / "a.wav", tone(6.0, hz=400.0)), speed=speed)
    assert pcm.shape[1] == pytest.approx(6 * SAMPLE_RATE_HZ / speed, rel=0.02)
    assert decoder.end_s == pytest.approx(6.0), "times stay on the file's own timeline"
    strength = np.abs(np.fft.rfft(pcm[0, 8000:24_000].astype(np.float64)))
    assert np.argmax(strength) * SAMPLE_RATE_HZ / 16_000 == pytest.approx(400.0, abs=5)


def test_channels_are_kept_apart_or_mixed(tmp_path: Path) -> None:
    left, right = tone(2.0, hz=300.0), tone(2.0, hz=700.0)
    path = write_media(tmp_path / "a.wav", np.stack((left, right)))
    apart, _ = decode(path, split=True)
    assert np.array_equal(apart, np.stack((left, right)))
    mixed, _ = decode(path)
    assert mixed.shape[0] == 1
    assert rms(mixed[0].astype(np.int32) - (left.astype(np.int32) + right) // 2) < 2


def test_eight_channels_are_kept_apart_and_more_are_refused(tmp_path: Path) -> None:
    eight = np.stack([tone(0.5, hz=200.0 * (i + 1)) for i in range(8)])
    path, nine = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(wav_bytes(eight))
    nine.write_bytes(wav_bytes(np.concatenate((eight, eight[:1]))))
    assert np.array_equal(decode(path, split=True)[0], eight)
    with pytest.raises(RejectJob) as caught:
        decode(nine, split=True)
    assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED
    assert decode(nine)[0].shape[0] == 1


def test_audio_longer_than_allowed_is_refused_while_decoding(tmp_path: Path) -> None:
    """An adts file states no length."""
    path = write_media(tmp_path / "a.aac", noise(10.0))
    with path.open("rb") as file:
        decoder = Decoder(open_media(file), DecodeOptions(False, None, 1.0, 5.0))
        with pytest.raises(RejectJob) as caught:
            list(decoder.blocks())
    assert caught.value.reason is Reason.MEDIA_TOO_LONG


def test_samples_that_are_no_numbers_become_silence_not_noise(tmp_path: Path) -> None:
    voice = speech().astype(np.float32) / 32768.0
    voice[20_000:21_000] = np.nan
    voice[40_000:40_100] = np.inf
    path = tmp_path / "nan.wav"
    plain = wav_bytes(silence(0.0))
    head = bytearray(plain[:44])
    head[20:22], head[34:36], head[28:32], head[32:34] = b"\3\0", b"\x20\0", (64_000).to_bytes(4, "little"), b"\4\0"
    head[40:44], head[4:8] = (len(voice) * 4).to_bytes(4, "little"), (36 + len(voice) * 4).to_bytes(4, "little")
    path.write_bytes(bytes(head) + voice.tobytes())
    pcm, decoder = decode(path)
    assert pcm.shape[1] == len(voice)
    assert np.array_equal(pcm[0, :20_000], speech()[:20_000])
    assert decoder.damaged_packets == 0
