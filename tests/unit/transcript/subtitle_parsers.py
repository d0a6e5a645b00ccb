"""Strict readers of SubRip and WebVTT, from the formats' descriptions: what they refuse, some player refuses."""

import re
from dataclasses import dataclass

_SRT_TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d),(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d),(\d{3})")
_VTT_TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})")
_VOICE = re.compile(r"<v ([^\n\r&>]+)>")
_ENTITY = re.compile(r"&(amp|lt|gt);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}


@dataclass(frozen=True)
class ReadCue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    voice: str | None = None

    @property
    def text(self) -> str:
        return " ".join(self.lines)


def read_srt(body: bytes) -> list[ReadCue]:
    """Numbered blocks of a times line and text lines, parted by one blank line; an empty file holds none."""
    found = []
    for number, block in enumerate(_blocks(body.decode()), start=1):
        assert block[0] == str(number), f"numbered {block[0]!r} instead of {number}"
        found.append(_cue(block[1:], _SRT_TIMES))
    return found


def read_vtt(body: bytes) -> list[ReadCue]:
    """The signature line, then cues in order of their starts; text holds voice tags and entities only."""
    signature, *blocks = _blocks(body.decode())
    assert signature == ["WEBVTT"]
    found = []
    for block in blocks:
        raw = _cue(block, _VTT_TIMES)
        voice = _VOICE.match(raw.lines[0])
        lines = [raw.lines[0][voice.end() :] if voice else raw.lines[0], *raw.lines[1:]]
        found.append(ReadCue(raw.start_ms, raw.end_ms, tuple(map(_unescaped, lines)), voice[1] if voice else None))
    starts = [cue.start_ms for cue in found]
    assert starts == sorted(starts)
    return found


def _blocks(text: str) -> list[list[str]]:
    assert not set(text) & {"\r", "\0", "\ufeff"}
    if not text:
        return []
    assert text.endswith("\n")
    blocks = [block.split("\n") for block in text.removesuffix("\n").split("\n\n")]
    assert all(line.strip() for block in blocks for line in block), "a blank line inside a block"
    return blocks


def _cue(block: list[str], times: re.Pattern[str]) -> ReadCue:
    match = times.fullmatch(block[0])
    assert match, f"no times line: {block[0]!r}"
    lines = tuple(block[1:])
    assert lines, "a cue without text"
    assert not any("-->" in line for line in lines), "text that looks like a times line"
    h1, m1, s1, ms1, h2, m2, s2, ms2 = map(int, match.groups())
    start_ms = ((h1 * 60 + m1) * 60 + s1) * 1000 + ms1
    end_ms = ((h2 * 60 + m2) * 60 + s2) * 1000 + ms2
    assert start_ms < end_ms, "a cue that ends before it begins"
    return ReadCue(start_ms, end_ms, lines)


def _unescaped(line: str) -> str:
    assert "<" not in line, f"an unknown tag in {line!r}"
    assert "&" not in _ENTITY.sub("", line), f"a bare ampersand in {line!r}"
    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], line)
