"""What a file may lack and still count as transcribed."""

import pytest

from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.pipeline.listen import refuse_great_loss
from transcriber_worker.transcript.assemble import HeardPart


def part(*lost: Span) -> HeardPart:
    return HeardPart(None, Span(0.0, 60.0), HeardWindow((), "en", 0.9, lost=lost))


def test_a_file_may_lack_a_little_of_its_speech() -> None:
    refuse_great_loss([part(), part(Span(1.0, 2.5), Span(30.0, 30.5))], speech_s=100.0)


def test_a_file_that_lacks_more_is_tried_again() -> None:
    with pytest.raises(RetryJob, match=r"2\.1 s of 100\.0 s of speech"):
        refuse_great_loss([part(Span(1.0, 2.5)), part(Span(30.0, 30.6))], speech_s=100.0)
