"""What all contenders transcribe: files on disk, and what is known of what is said in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.media.base import MediaReader
from transcriber_worker.tools.bench.clips import clips_of, put_together
from transcriber_worker.tools.bench.recordings import (
    NoRecordings,
    Recording,
    Speech,
    read_speech,
    recordings_at,
    write_wav,
)

LONG_S = 660.0
CLIPS = 24
BACKLOG = 12
_LONG_TIMES = 3
_MIXED_LONG = 2


class Load(StrEnum):
    """Which files."""

    FOLDER = "folder"
    """The recordings as they are."""
    LONG = "long"
    """A long recording, three times."""
    MIXED = "mixed"
    """A long recording twice, and behind it short clips of it."""
    CLIPS = "clips"
    """Short clips of a long recording."""
    BACKLOG = "backlog"
    """Many long recordings, each of them put together in another order; of no known text."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file."""

    path: Path
    audio_s: float
    text: str | None = None
    """What is said in it, where that is known."""
    clip: bool = False
    """Whether it is one of the clips whose text is known of all together."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Files in the order in which they are handed over; their languages are unknown to the contenders."""

    name: str
    items: tuple[Item, ...]
    clips_text: str | None = None
    """What is said in the clips, one after the other, and then goes on beyond them."""

    @property
    def audio_s(self) -> float:
        return sum(item.audio_s for item in self.items)


class Workshop:
    """Makes workloads out of a recording or a folder of them; what it cuts and puts together goes into `folder`."""

    def __init__(
        self,
        reader: MediaReader,
        place: Path,
        folder: Path,
        *,
        long_s: float = LONG_S,
        clips: int = CLIPS,
        backlog: int = BACKLOG,
    ) -> None:
        self._reader = reader
        self._place = place
        self._recordings = recordings_at(place)
        self._folder = folder
        self._long_s = long_s
        self._clips = clips
        self._backlog = backlog
        self._long: tuple[Item, Speech] | None = None

    def make(self, load: Load) -> Workload:
        """The files of a workload. Raises `NoRecordings`, and what the reader raises."""
        match load:
            case Load.FOLDER:
                return Workload(load, self._as_they_are())
            case Load.LONG:
                return Workload(load, (self._long_one()[0],) * _LONG_TIMES)
            case Load.CLIPS:
                return Workload(load, self._cut_clips(), self._long_one()[0].text)
            case Load.BACKLOG:
                return Workload(load, self._many_long_ones())
            case Load.MIXED:
                long = self._long_one()[0]
                return Workload(load, (*(long,) * _MIXED_LONG, *self._cut_clips()), long.text)

    def _as_they_are(self) -> tuple[Item, ...]:
        """Damaged ones left out: faster-whisper stops at the damage, which would pass for speed."""
        whole = [recording for recording in self._recordings if not recording.damaged]
        return tuple(
            Item(recording.path, _seconds(read_speech(self._reader, recording.path)), recording.text)
            for recording in whole
        )

    def _long_one(self) -> tuple[Item, Speech]:
        if self._long is None:
            self._long = self._put_together() if self._place.is_dir() else self._given()
        return self._long

    def _given(self) -> tuple[Item, Speech]:
        (recording,) = self._recordings
        speech = read_speech(self._reader, recording.path)
        return Item(recording.path, _seconds(speech), recording.text), speech

    def _put_together(self) -> tuple[Item, Speech]:
        """Recordings of one language: a file's language is decided by its beginning."""
        chosen = _one_language([recording for recording in self._recordings if not recording.damaged])
        pcm, order = put_together([read_speech(self._reader, one.path) for one in chosen], self._long_s)
        texts = [chosen[index].text for index in order]
        path = self._written("long.wav")
        write_wav(path, pcm)
        known = None if None in texts else " ".join(text for text in texts if text)
        speech = read_speech(self._reader, path)
        return Item(path, len(pcm) / SAMPLE_RATE_HZ, known), speech

    def _many_long_ones(self) -> tuple[Item, ...]:
        if not self._place.is_dir():
            return (replace(self._long_one()[0], text=None),) * self._backlog
        chosen = _one_language([recording for recording in self._recordings if not recording.damaged])
        speeches = [read_speech(self._reader, one.path) for one in chosen]
        items = []
        for number in range(self._backlog):
            first = number % len(speeches)
            pcm, _ = put_together(speeches[first:] + speeches[:first], self._long_s)
            path = self._written(f"backlog-{number + 1:02}.wav")
            write_wav(path, pcm)
            items.append(Item(path, len(pcm) / SAMPLE_RATE_HZ))
        return tuple(items)

    def _cut_clips(self) -> tuple[Item, ...]:
        _, speech = self._long_one()
        items = []
        for number, span in enumerate(clips_of(speech, self._clips), 1):
            path = self._written(f"clip-{number:02}.wav")
            pcm = speech.pcm[round(span.start_s * SAMPLE_RATE_HZ) : round(span.end_s * SAMPLE_RATE_HZ)]
            write_wav(path, pcm)
            items.append(Item(path, len(pcm) / SAMPLE_RATE_HZ, clip=True))
        if not items:
            raise NoRecordings(f"nobody speaks in {self._place}: there is nothing to cut clips from")
        return tuple(items)

    def _written(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder.absolute() / name


def _one_language(recordings: Sequence[Recording]) -> list[Recording]:
    if not recordings:
        raise NoRecordings("all recordings are damaged")
    ((most, _),) = Counter(recording.language for recording in recordings).most_common(1)
    return [recording for recording in recordings if recording.language == most]


def _seconds(speech: Speech) -> float:
    return len(speech.pcm) / SAMPLE_RATE_HZ
