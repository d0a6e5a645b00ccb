"""Secrets by reference: read anew each time, masked at once, and missing ones named."""

from pathlib import Path

import pytest

from transcriber_worker.observability.redaction import REDACTOR
from transcriber_worker.observability.secrets import SecretMissing, read_secret


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("first-one\n")
    assert read_secret(f"file:{path}") == "first-one"

    path.write_text("second-one\r\n")

    assert read_secret(f"file:{path}") == "second-one"


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", " spaces stay ")

    assert read_secret("env:KAFKA_PASSWORD") == " spaces stay "


def test_what_was_read_is_masked_in_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2-hunter2")

    read_secret("env:KAFKA_PASSWORD")

    assert "hunter2" not in REDACTOR.text("refused: hunter2-hunter2")


def test_a_secret_too_short_to_mask_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "abc")

    assert read_secret("env:KAFKA_PASSWORD") == "abc"


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_one_is_missing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "password"
    path.write_text(content)

    with pytest.raises(SecretMissing, match=r"password is empty"):
        read_secret(f"file:{path}")


def test_a_missing_one_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)

    with pytest.raises(SecretMissing, match="KAFKA_PASSWORD"):
        read_secret("env:KAFKA_PASSWORD")
    with pytest.raises(SecretMissing, match=r"gone can't be read: No such file"):
        read_secret(f"file:{tmp_path}/gone")
