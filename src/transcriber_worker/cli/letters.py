"""`dlq list | show | redrive`."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import Reason

if TYPE_CHECKING:
    from transcriber_worker.brokers.base import Broker
    from transcriber_worker.messages.dead_letter import DeadLetter


def add_commands(commands: Commands) -> None:
    """`dlq` and its three commands."""
    dlq = commands.add_parser("dlq", help="look at dead letters and send them again")
    actions = dlq.add_subparsers(title="actions", metavar="ACTION", required=True)
    list_ = actions.add_parser("list", help="every dead letter, oldest first")
    show = actions.add_parser("show", help="one dead letter whole")
    redrive = actions.add_parser("redrive", help="send letters' messages again, attempts forgotten")
    show.add_argument("id", metavar="ID", help="the letter's id, or its request's")
    redrive.add_argument("ids", nargs="*", metavar="ID", help="letters' ids, or their requests'")
    redrive.add_argument("--all", action="store_true", help="every letter there is, instead of IDs")
    redrive.add_argument(
        "--reason",
        choices=[reason.value for reason in Reason],
        metavar="CODE",
        help="with --all: only letters with this reason",
    )
    for command, function in ((list_, _list), (show, _show), (redrive, _redrive)):
        add_config_option(command)
        command.set_defaults(command=function)


def _list(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.cli.display import show_letters
    from transcriber_worker.tools.letters import all_letters

    with open_office(settings_of(chosen)) as office:
        show_letters(all_letters(office.broker))
    return ExitCode.OK


def _show(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.tools.letters import find_letter

    with open_office(settings_of(chosen)) as office:
        letter = find_letter(office.broker, chosen.id)
    if letter is None:
        sys.stderr.write(f"there is no dead letter {chosen.id}\n")
        return ExitCode.NOT_FOUND
    sys.stdout.write(letter.to_bytes().decode() + "\n")
    return ExitCode.OK


def _redrive(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.tools.letters import MessageGone, all_letters, redrive

    if bool(chosen.ids) == chosen.all or (chosen.reason and not chosen.all):
        sys.stderr.write("name letters, or say --all, with --reason for some of them\n")
        return ExitCode.USAGE
    failed = 0
    with open_office(settings_of(chosen)) as office:
        if chosen.all:
            letters = [letter for letter in all_letters(office.broker) if chosen.reason in (None, letter.reason)]
        else:
            letters, failed = _named(office.broker, chosen.ids)
        for letter in letters:
            try:
                message_id = redrive(office.broker, office.store, letter)
            except MessageGone as error:
                failed += 1
                sys.stderr.write(f"{letter.id}  can't be sent again: {error}\n")
                continue
            sys.stdout.write(f"{letter.id}  sent again as {message_id}\n")
    return ExitCode.NOT_FOUND if failed else ExitCode.OK


def _named(broker: "Broker", ids: Sequence[str]) -> "tuple[list[DeadLetter], int]":
    """The letters of these ids, each once, and how many ids have none."""
    from transcriber_worker.tools.letters import find_letter

    letters, missing = {}, 0
    for id_ in ids:
        letter = find_letter(broker, id_)
        if letter is None:
            missing += 1
            sys.stderr.write(f"there is no dead letter {id_}\n")
        else:
            letters[letter.id] = letter
    return list(letters.values()), missing
