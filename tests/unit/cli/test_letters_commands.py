"""`dlq list | show | redrive`."""

import json

import pytest

from tests.unit.cli.conftest import Terminal
from tests.workbench import Workbench
from transcriber_worker.brokers.base import Letter
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.observability.labels import Ending
from transcriber_worker.tools.letters import all_letters


def ids(bench: Workbench) -> list[str]:
    return [letter.id for letter in all_letters(bench.broker)]


@pytest.fixture
def unreadable(bench: Workbench) -> str:
    """A letter for a recording that is none, with a request id; its own id."""
    one = bench.submit(b"unreadable", "[red]call.wav", id="call-4711")
    assert bench.attend().ending is Ending.DEAD_LETTERED
    return one.job.id


@pytest.fixture
def garbage(bench: Workbench) -> str:
    """A letter for a message of 100 kB that names no job; its own id."""
    before = ids(bench)
    bench.broker.publish(b"x" * 100_000, {})
    assert bench.attend().ending is Ending.DEAD_LETTERED
    (new,) = set(ids(bench)) - set(before)
    return new


def test_no_letters_are_an_empty_table(terminal: Terminal) -> None:
    assert terminal.call("dlq", "list").code == ExitCode.OK


def test_letters_are_listed_with_whole_ids_and_reasons(
    terminal: Terminal, bench: Workbench, unreadable: str, garbage: str
) -> None:
    bench.broker.dead_letters.put(Letter("garbage", b"no letter"))
    out = terminal.call("dlq", "list").out
    for told in (unreadable, garbage, "media_unreadable", "invalid_request", "call-4711"):
        assert told in out


@pytest.mark.parametrize("by", ["letter", "request"])
def test_a_letter_is_shown_whole(terminal: Terminal, unreadable: str, by: str) -> None:
    answer = terminal.call("dlq", "show", unreadable if by == "letter" else "call-4711")
    assert answer.code == ExitCode.OK
    letter = DeadLetter.from_bytes(answer.out.encode())
    assert (letter.id, letter.request_id) == (unreadable, "call-4711")
    assert json.loads(letter.original_body() or b"")["id"] == "call-4711"


@pytest.mark.parametrize("id_", ["0a" * 16, "call-4712", "", "x" * 5000])
def test_an_unknown_letter_is_told(terminal: Terminal, unreadable: str, bench: Workbench, id_: str) -> None:
    for command in ("show", "redrive"):
        answer = terminal.call("dlq", command, id_)
        assert answer.code == ExitCode.NOT_FOUND
        assert "there is no dead letter" in answer.err
    assert ids(bench) == [unreadable]


def test_letters_are_redriven_by_id(terminal: Terminal, bench: Workbench, unreadable: str, garbage: str) -> None:
    answer = terminal.call("dlq", "redrive", "call-4711", unreadable, garbage)
    assert answer.code == ExitCode.OK
    assert answer.out.count("sent again as") == 2
    assert ids(bench) == []
    bodies = {delivery.message.body for delivery in bench.broker.receive(10, 0.0)}
    assert b"x" * 100_000 in bodies
    assert len(bodies) == 2


def test_one_unknown_id_does_not_hold_up_the_others(terminal: Terminal, bench: Workbench, unreadable: str) -> None:
    answer = terminal.call("dlq", "redrive", "nonsense", unreadable)
    assert answer.code == ExitCode.NOT_FOUND
    assert ids(bench) == []


def test_all_letters_are_redriven(terminal: Terminal, bench: Workbench, unreadable: str, garbage: str) -> None:
    assert terminal.call("dlq", "redrive", "--all").code == ExitCode.OK
    assert ids(bench) == []


def test_letters_are_redriven_by_reason(terminal: Terminal, bench: Workbench, unreadable: str, garbage: str) -> None:
    assert terminal.call("dlq", "redrive", "--all", "--reason", "media_unreadable").code == ExitCode.OK
    assert ids(bench) == [garbage]
    assert terminal.call("dlq", "redrive", "--all", "--reason", "media_unreadable").out == ""
    assert ids(bench) == [garbage]


@pytest.mark.parametrize("words", [(), ("0a", "--all"), ("0a", "--reason", "media_unreadable"), ("--reason", "x")])
def test_it_must_be_clear_which_letters_are_meant(
    terminal: Terminal, bench: Workbench, unreadable: str, words: tuple[str, ...]
) -> None:
    assert terminal.call("dlq", "redrive", *words).code == ExitCode.USAGE
    assert ids(bench) == [unreadable]


def test_a_reason_that_does_not_exist_is_a_wrong_command_line(terminal: Terminal, unreadable: str) -> None:
    """It would look as if nothing were left to redrive."""
    answer = terminal.call("dlq", "redrive", "--all", "--reason", "media_unreadible")
    assert answer.code == ExitCode.USAGE
    assert "media_unreadable" in answer.err


def test_a_message_that_is_gone_is_told_and_the_others_are_sent(
    terminal: Terminal, bench: Workbench, garbage: str, unreadable: str
) -> None:
    for path in (bench.folder / "transcripts" / ".state" / "bodies").iterdir():
        path.unlink(missing_ok=True) if path.is_file() else None
    answer = terminal.call("dlq", "redrive", "--all")
    assert answer.code == ExitCode.NOT_FOUND
    assert f"{garbage}  can't be sent again" in answer.err
    assert ids(bench) == [garbage]
