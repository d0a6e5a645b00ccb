"""Builders of heard speech and of documents."""

from collections.abc import Mapping

from transcriber_worker.domain.audio import MediaInfo, MediaReport, Span, TranscriptWarning
from transcriber_worker.domain.job import Job, SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow, Segment, Word
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.transcript.assemble import Assembled, HeardPart, Language, Quality
from transcriber_worker.transcript.compose import compose, source_of
from transcriber_worker.transcript.document import Attempt, EngineIdentity, TranscriptDocument

INFO = MediaInfo(container="mp3", codec="mp3float", channels=2, sample_rate_hz=44_100, duration_s=60.0207)

_MINUTE = Span(0.0, 60.0)
_DETECT = SpeechOptions()


def report(end_s: float = 60.0, speech_s: float = 50.0, warnings: tuple[TranscriptWarning, ...] = ()) -> MediaReport:
    return MediaReport(decoded_s=end_s, end_s=end_s, speech_s=speech_s, warnings=warnings)


def spoken(text: str, start_s: float = 0.0, word_s: float = 0.5, channel: int | None = None) -> Segment:
    """`text` said at `word_s` seconds a word, with its words."""
    words = tuple(
        Word(start_s + index * word_s, start_s + (index + 1) * word_s, f" {word}", 0.9)
        for index, word in enumerate(text.split())
    )
    return Segment(start_s, words[-1].end_s, " " + text, channel=channel, words=words)


def part(
    *segments: Segment,
    language: str | None = "en",
    probability: float = 0.9,
    channel: int | None = None,
    core: Span = _MINUTE,
) -> HeardPart:
    return HeardPart(channel, core, HeardWindow(segments, language, probability))


def job(speech: SpeechOptions = _DETECT, attributes: Mapping[str, str] | None = None) -> Job:
    return Job(
        request_id="call-4711",
        source=ObjectUri.parse("oci://audio@tenancy/calls/call.mp3"),
        name="calls/call.mp3",
        output=ObjectUri.parse("oci://transcripts@tenancy/out/"),
        requested_at=1_750_000_000.1239,
        speech=speech,
        attributes=attributes or {},
    )


def document(
    *segments: Segment,
    words: bool = False,
    audio_s: float = 36_000.0,
    of: Job | None = None,
    warnings: tuple[TranscriptWarning, ...] = (),
) -> TranscriptDocument:
    """The document of exactly these segments; their words are in it when asked for."""
    of = of or job(SpeechOptions(word_timestamps=words))
    assembled = Assembled(segments, Language("en", 0.98765), (), warnings, Quality(-0.25, 0.0, not segments))
    return compose(
        of,
        assembled,
        INFO,
        report(audio_s),
        source=source_of(of, etag="abc", size_bytes=1234, modified_at=1_749_999_999.5),
        fingerprint="f" * 32,
        attempt=Attempt(number=2, worker="pod-1", id="9f"),
        engine=EngineIdentity(
            engine="sequential", model="base", model_sha256="d0" * 32, compute_type="int8", beam_size=5
        ),
        timings={"download": 0.123456, "transcribe": 12.0},
        created_at=1_750_000_100.0,
    )
