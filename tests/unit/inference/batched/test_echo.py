"""What is only the text before, said again, and what was really said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.inference.batched.echo import Echo, same_speech
from transcriber_worker.inference.batched.prose import PROSE

PROSE_BEFORE = "The water was low. On the way back we met an old friend and stopped to talk."
HOTWORDS = "Kubernetes, Okonkwo, metoprolol, Szymborska, Terraform, Peter Schoeffer"
PROMPT = "A talk about typography and the early printers of Mainz, by Peter Schoeffer."
BEFORE = Echo((PROSE_BEFORE, HOTWORDS, PROMPT))


@pytest.mark.parametrize(
    "text",
    [
        "Szymborska,",
        "On the way back we met an old friend.",
        "We met an old friend and stopped to talk.",
        "On typography and the early printers of Mainz, by Peter Schoeffer.",
        "Kubernetes, Okonkwo, metoprolol, Szymborska, Terraform, Peter Schoeffer",
        "And stopped to talk. Kubernetes, Okonkwo,",
        "Kubernetes, Okonkwo, Metropolol, Szymborska, Terraform, Peter Schöffer",
        "Szymborska, Terraform. Szymborska, Terraform. Szymborska, Terraform.",
        "OKONKWO METOPROLOL",
    ],
)
def test_the_text_before_is_known_again_in_part_in_another_spelling_and_over_and_over(text: str) -> None:
    """The first four are what a model wrote over noise and music."""
    assert BEFORE.echoed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ". . . .",
        "you",
        "Doctor Okonkwo prescribed metoprolol.",
        "We run Kubernetes and set it up with Terraform.",
        "Is it Szymborska or Okonkwo who called?",
        "Peter Schoeffer was one of the early printers, and he lived in Mainz.",
        "On the way to the river we met two friends, and they had to go.",
    ],
)
def test_speech_that_uses_the_terms_is_no_echo(text: str) -> None:
    assert not BEFORE.echoed(text)


@pytest.mark.parametrize("language", PROSE)
def test_ordinary_speech_is_no_echo_of_prose_in_its_language(language: str) -> None:
    """One half of a passage against the other: the same writer, the same matter."""
    words = PROSE[language].split()
    assert not Echo((" ".join(words[:60]),)).echoed(" ".join(words[60:]))


def test_scripts_without_spaces_are_compared_by_character() -> None:
    before = Echo(("東京都庁、渋谷区役所",))
    assert before.echoed("渋谷区役所")
    assert not before.echoed("昨日、渋谷の駅で友達に会いました。")


@settings(deadline=None)
@given(st.data())
def test_any_stretch_of_the_text_before_is_an_echo(data: st.DataObject) -> None:
    words = " ".join((PROSE_BEFORE, HOTWORDS, PROMPT)).split()
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    assert BEFORE.echoed(" ".join(words[first : last + 1]))


@pytest.mark.parametrize(
    ("prompted", "unprompted"),
    [
        ("Peter Schoeffer.", "Peter Shaffer."),
        ("Szymborska", "Schimborska."),
        ("Kubernetes, Terraform.", "Cooper Netties, Terra form."),
        ("metoprolol", "Metaproll all."),
    ],
)
def test_a_name_that_was_said_sounds_the_same_without_its_hotword(prompted: str, unprompted: str) -> None:
    assert same_speech(prompted, unprompted)


@pytest.mark.parametrize(
    ("prompted", "unprompted"),
    [
        ("Szymborska,", ""),
        ("Szymborska", "you"),
        ("Szymborska", ". . ."),
        ("We met an old friend and stopped to talk.", "I don't know."),
        ("Kubernetes, Okonkwo, metoprolol", "Thank you for watching."),
    ],
)
def test_an_echo_is_not_what_is_heard_without_a_prompt(prompted: str, unprompted: str) -> None:
    assert not same_speech(prompted, unprompted)
