"""Scratch: isolated, emptied, and never somebody else's."""

import os
from pathlib import Path

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.pipeline.scratch import Scratch

OURS = "transcriber-worker"


def aged(path: Path, clock: ManualClock, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    for each in (path, path.parent, path.parent.parent):
        os.utime(each, (clock.now() - age_s,) * 2)
    return path


def test_a_folder_is_gone_when_its_job_ends(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "w1", ManualClock())

    with scratch.folder("job") as folder:
        (folder / "source").write_bytes(b"audio")

    assert not folder.exists()


def test_a_folder_is_gone_when_its_job_fails(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "w1", ManualClock())

    with pytest.raises(ZeroDivisionError), scratch.folder("job") as folder:
        (folder / "source").write_bytes(b"audio")
        raise ZeroDivisionError

    assert not folder.exists()


def test_what_a_dead_worker_left_goes_once_it_is_old(tmp_path: Path) -> None:
    clock = ManualClock()
    old = aged(tmp_path / OURS / "dead" / "job" / "source", clock, 101)
    young = aged(tmp_path / OURS / "alive" / "job" / "source", clock, 99)

    removed = Scratch(tmp_path, "w1", clock).prepare(max_age_s=100)

    assert (removed, old.exists(), young.exists()) == (1, False, True)


def test_what_others_keep_in_the_same_place_is_never_removed(tmp_path: Path) -> None:
    clock = ManualClock()
    strangers = aged(tmp_path / "precious" / "data" / "file", clock, 1_000_000)

    Scratch(tmp_path, "w1", clock).prepare(max_age_s=1)

    assert strangers.exists()


def test_a_long_job_whose_file_was_written_lately_is_left_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    path = aged(tmp_path / OURS / "alive" / "job" / "source", clock, 1000)
    os.utime(path, (clock.now(), clock.now()))

    assert Scratch(tmp_path, "w1", clock).prepare(max_age_s=100) == 0


def test_a_scratch_that_cannot_be_made_says_which_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(EnvironmentDown, match=r"worker\.scratch_dir"):
        Scratch(tmp_path / "file", "w1", ManualClock()).prepare(1.0)
