"""The document of one finished attempt, from what the pipeline knows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from transcriber_worker.domain.audio import MediaInfo, MediaReport, TranscriptWarning
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.transcript import Segment
from transcriber_worker.transcript.assemble import Assembled
from transcriber_worker.transcript.document import (
    Attempt,
    ChannelLanguage,
    Durations,
    EngineIdentity,
    QualityEntry,
    SegmentEntry,
    Source,
    TranscriptDocument,
    WarningEntry,
    WordEntry,
)
from transcriber_worker.transcript.wording import plain, separator


def source_of(job: Job, etag: str, size_bytes: int, modified_at: float) -> Source:
    """The version of the job's source that was read; `modified_at` in Unix seconds."""
    return Source(
        uri=str(job.source), name=job.name, etag=etag, size_bytes=size_bytes, modified_at=_moment(modified_at)
    )


def compose(
    job: Job,
    assembled: Assembled,
    info: MediaInfo,
    report: MediaReport,
    *,
    source: Source,
    fingerprint: str,
    attempt: Attempt,
    engine: EngineIdentity,
    timings: Mapping[str, float],
    created_at: float,
) -> TranscriptDocument:
    """`timings`: seconds by stage; `created_at`: Unix seconds."""
    segments = assembled.segments
    return TranscriptDocument(
        version=1,
        source=source,
        request_id=job.request_id,
        job_id=job.id,
        fingerprint=fingerprint,
        requested_at=_moment(job.requested_at),
        created_at=_moment(created_at),
        attempt=attempt,
        engine=engine,
        task=job.speech.task,
        language=assembled.language.code,
        language_probability=assembled.language.probability,
        channel_languages=tuple(
            ChannelLanguage(channel=channel, language=language.code, language_probability=language.probability)
            for channel, language in assembled.channel_languages
        ),
        duration=Durations(
            audio_s=report.end_s, container_s=info.duration_s, speech_s=report.speech_s, decoded_s=report.decoded_s
        ),
        text=_whole_text(segments),
        segments=tuple(
            _segment(number, segment, job.speech.word_timestamps) for number, segment in enumerate(segments)
        ),
        quality=QualityEntry(
            mean_logprob=assembled.quality.mean_logprob,
            low_confidence_share=assembled.quality.low_confidence_share,
            no_speech=assembled.quality.no_speech,
        ),
        warnings=_warnings(assembled.warnings),
        timings=dict(timings),
        attributes=dict(job.attributes),
    )


def text_line(channel: int | None, text: str) -> str:
    """One segment as a line of text, with its channel's number where the channels were kept apart."""
    return channel_label(channel) + plain(text)


def channel_label(channel: int | None) -> str:
    """What stands before a line of a channel that was kept apart."""
    return "" if channel is None else f"[{channel}] "


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _whole_text(segments: Sequence[Segment]) -> str:
    if any(segment.channel is not None for segment in segments):
        return "\n".join(text_line(segment.channel, segment.text) for segment in segments)
    texts = [segment.text.strip() for segment in segments]
    return "".join(separator(before, text) + text for before, text in zip(["", *texts], texts, strict=False))


def _segment(number: int, segment: Segment, with_words: bool) -> SegmentEntry:
    words = tuple(
        WordEntry(start=word.start_s, end=word.end_s, text=word.text, probability=word.probability)
        for word in segment.words
    )
    return SegmentEntry(
        id=number,
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        channel=segment.channel,
        words=words if with_words else None,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
        compression_ratio=segment.compression_ratio,
        temperature=segment.temperature,
        flags=segment.flags,
        language=segment.language,
    )


def _warnings(warnings: Iterable[TranscriptWarning]) -> tuple[WarningEntry, ...]:
    return tuple(
        WarningEntry(
            code=warning.code,
            message=warning.message,
            start=warning.span.start_s if warning.span else None,
            end=warning.span.end_s if warning.span else None,
        )
        for warning in warnings
    )
