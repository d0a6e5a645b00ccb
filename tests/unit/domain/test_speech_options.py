"""What the options of a request come to."""

import pytest

from transcriber_worker.domain.job import SpeechOptions


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SpeechOptions(), None),
        (SpeechOptions(language="de", languages=("en",)), "de"),
        (SpeechOptions(languages=("en",)), "en"),
        (SpeechOptions(languages=("en", "de")), None),
    ],
    ids=["none", "given", "only one allowed", "several allowed"],
)
def test_the_language_that_need_not_be_detected(options: SpeechOptions, expected: str | None) -> None:
    assert options.known_language == expected
