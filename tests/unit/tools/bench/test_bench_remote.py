"""A contender in a process of its own: what is asked and answered, and how it ends."""

import sys
from pathlib import Path

import pytest

from tests.unit.tools.bench.scripted import a_spec
from transcriber_worker.tools.bench.remote import ContenderFailed, RemoteChild, RemoteContender


def start(folder: Path, what: str = "reader") -> RemoteContender:
    command = [sys.executable, str(Path(__file__).with_name("child_for_tests.py")), what]
    return RemoteContender(a_spec("reader"), command, folder / "logs" / "reader.log")


def log_of(folder: Path) -> str:
    return (folder / "logs" / "reader.log").read_text()


def files(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{n}.txt" for n in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_files_come_back_in_order_with_what_was_counted_meanwhile(tmp_path: Path) -> None:
    contender = start(tmp_path)
    try:
        assert contender.facts == {"workers": "1"}
        contender.hear(files(tmp_path, "warming up"), None)
        answer = contender.hear(files(tmp_path, "one", "two words", "three"), "de")
        assert [heard.text for heard in answer.heard] == ["one", "two words", "three"]
        assert [heard.language for heard in answer.heard] == ["de"] * 3
        assert answer.counted == {"heard": 3}
        assert 0 < max(answer.done_s) <= answer.wall_s
        assert contender.usage().cpu_s > 0
        assert contender.usage().rss_bytes > 0
    finally:
        contender.close()
    assert log_of(tmp_path) == "closed\n"
    assert contender.usage().rss_bytes == 0


def test_an_error_is_told_and_is_not_the_end(tmp_path: Path) -> None:
    contender = start(tmp_path)
    with pytest.raises(ContenderFailed, match=r"reader: FileNotFoundError: .* 'nowhere'$"):
        contender.hear([tmp_path / "nowhere"], None)
    assert f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path / 'nowhere'}'" in log_of(tmp_path)
    assert contender.hear(files(tmp_path, "one"), None).heard[0].text == "one"
    contender.close()


def test_one_that_can_not_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(ContenderFailed, match="reader: OSError: no such model"):
        start(tmp_path, "broken")


def test_the_death_of_its_process_is_noticed(tmp_path: Path) -> None:
    contender = start(tmp_path)
    for _ in range(2):
        with pytest.raises(ContenderFailed, match=r"its process ended; see reader\.log$"):
            contender.hear(files(tmp_path, "die"), None)
    contender.close()


def test_what_a_process_said_outlives_the_next_one_of_its_name(tmp_path: Path) -> None:
    for _ in range(2):
        start(tmp_path).close()
    assert log_of(tmp_path) == "closed\n" * 2


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    contender = start(tmp_path)
    contender.silent_s = 0.1
    with pytest.raises(ContenderFailed, match=r"reader: no answer for 0 s; see reader\.log$"):
        contender.hear(files(tmp_path, "hang"), None)
    contender.silent_s = 600.0
    with pytest.raises(ContenderFailed, match="its process ended"):  # not with what it might have answered later
        contender.hear(files(tmp_path, "one"), None)
    contender.close()


def test_one_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ContenderFailed, match=r"sleeper: no answer for 0 s; see sleeper\.log$"):
        RemoteChild("sleeper", ["sleep", "600"], tmp_path / "sleeper.log", silent_s=0.1)
