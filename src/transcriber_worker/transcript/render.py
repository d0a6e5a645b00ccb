"""The other outputs, as pure renderings of the committed document: they may be made again at any time."""

import html
import re
from collections.abc import Mapping

from transcriber_worker.domain.job import Format
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.compose import channel_label, text_line
from transcriber_worker.transcript.cues import Cue, cues
from transcriber_worker.transcript.document import TranscriptDocument
from transcriber_worker.transcript.wording import plain

CONTENT_TYPES: Mapping[Format, str] = {
    Format.JSON: "application/json",
    Format.TXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
}
_ARROW = re.compile(r"--+>")


def render(document: TranscriptDocument, format_: Format, settings: TranscriptSettings) -> bytes:
    """`document` as UTF-8 in one of the formats; its content type is in `CONTENT_TYPES`."""
    match format_:
        case Format.JSON:
            return document.to_bytes()
        case Format.TXT:
            return _txt(document).encode()
        case Format.SRT:
            return _srt(document, settings).encode()
        case Format.VTT:
            return _vtt(document, settings).encode()


def _txt(document: TranscriptDocument) -> str:
    return "".join(
        text_line(segment.channel, segment.text) + "\n" for segment in document.segments if plain(segment.text)
    )


def _srt(document: TranscriptDocument, settings: TranscriptSettings) -> str:
    blocks = []
    for number, cue in enumerate(cues(document, settings, channel_label), start=1):
        # Text must not look like a line of times; there is no way to escape it.
        text = channel_label(cue.channel) + "\n".join(_ARROW.sub("→", line) for line in cue.lines)
        blocks.append(f"{number}\n{_times(cue, ',')}\n{text}\n")
    return "\n".join(blocks)


def _vtt(document: TranscriptDocument, settings: TranscriptSettings) -> str:
    blocks = ["WEBVTT\n"]
    for cue in cues(document, settings):
        voice = "" if cue.channel is None else f"<v Channel {cue.channel}>"
        text = voice + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        blocks.append(f"{_times(cue, '.')}\n{text}\n")
    return "\n".join(blocks)


def _times(cue: Cue, point: str) -> str:
    return f"{_time(cue.start_ms, point)} --> {_time(cue.end_ms, point)}"


def _time(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
