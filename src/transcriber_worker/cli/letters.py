"""`dlq list | show | redrive`."""

import argparse
import sys

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode


def add_commands(commands: Commands) -> None:
    """`dlq` and its three commands."""
    dlq = commands.add_parser("dlq", help="look at dead letters and send them again")
    actions = dlq.add_subparsers(title="actions", metavar="ACTION", required=True)
    list_ = actions.add_parser("list", help="every dead letter, oldest first")
    show = actions.add_parser("show", help="one dead letter whole")
    redrive = actions.add_parser("redrive", help="send letters' messages again, attempts forgotten")
    show.add_argument("id", metavar="ID", help="the letter's id, or its request's")
    redrive.add_argument("ids", nargs="*", metavar="ID", help="letters' ids, or their requests'")
    redrive.add_argument("--all", action="store_true", help="every letter there is")
    redrive.add_argument("--reason", metavar="CODE", help="with --all: only letters with this reason")
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
    from transcriber_worker.tools.letters import all_letters, find_letter, redrive

    if bool(chosen.ids) == chosen.all:
        sys.stderr.write("name letters, or say --all\n")
        return ExitCode.USAGE
    missing = 0
    with open_office(settings_of(chosen)) as office:
        found = list(all_letters(office.broker)) if chosen.all else [find_letter(office.broker, i) for i in chosen.ids]
        for id_, letter in zip(chosen.ids or [""] * len(found), found, strict=True):
            if letter is None:
                missing += 1
                sys.stderr.write(f"there is no dead letter {id_}\n")
            elif chosen.reason in (None, letter.reason):
                message_id = redrive(office.broker, office.store, letter)
                sys.stdout.write(f"{letter.id}  sent again as {message_id}\n")
    return ExitCode.NOT_FOUND if missing else ExitCode.OK
