"""What can be asked of a model, and what is carried from window to window."""

import pytest

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.inference.conversation import carried
from transcriber_worker.inference.options import (
    MAX_PROMPT_TOKENS,
    check_languages,
    check_prompt_length,
    most_probable,
)


@pytest.mark.parametrize(
    "options", [SpeechOptions(language="xx"), SpeechOptions(languages=("en", "xx"))], ids=["given", "among the allowed"]
)
def test_unknown_languages_are_refused_by_name(options: SpeechOptions) -> None:
    with pytest.raises(RejectJob, match=r"'xx'.*knows: de, en") as caught:
        check_languages(options, ("de", "en"))
    assert caught.value.reason is Reason.LANGUAGE_NOT_SUPPORTED


def test_known_languages_and_none_at_all_pass() -> None:
    check_languages(SpeechOptions(language="de", languages=("en",)), ("de", "en"))
    check_languages(SpeechOptions(), ("de", "en"))


def test_a_text_of_the_limit_fits_and_one_token_more_is_refused() -> None:
    check_prompt_length("hotwords", 96, 96)
    with pytest.raises(RejectJob, match="hotwords: 97 tokens, at most 96") as caught:
        check_prompt_length("hotwords", 97, 96)
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


def test_the_most_probable_allowed_language_is_chosen() -> None:
    ranking = [("nl", 0.6), ("de", 0.3), ("en", 0.1)]
    assert most_probable(ranking, ("en", "de")) == ("de", 0.3)


def test_the_text_so_far_grows_and_keeps_only_what_the_model_can_read() -> None:
    tokens = carried((1, 2), [((3,), 0.0), (tuple(range(300)), 0.2)])
    assert tokens == tuple(range(300))[-MAX_PROMPT_TOKENS:]
    assert carried((1, 2), [((3,), 0.0)]) == (1, 2, 3)


def test_a_passage_decoded_at_high_temperature_is_not_built_upon() -> None:
    assert carried((1, 2), [((3,), 0.0), ((4,), 0.6), ((5,), 0.5)]) == (5,)
