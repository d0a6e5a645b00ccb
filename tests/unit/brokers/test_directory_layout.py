"""Names carry what must survive a redelivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.brokers.directory_layout import Entry, is_entry, timed, timed_entry

MS = st.integers(0, 9_999_999_999_999)
NAMES = st.text(st.characters(), max_size=300)


@given(MS, NAMES, st.booleans())
def test_a_name_tells_its_entry(published_ms: int, label: str, enveloped: bool) -> None:
    entry = Entry.new(published_ms, label, enveloped=enveloped)

    assert Entry.parse(entry.name) == entry
    assert is_entry(entry.name)


@given(MS, NAMES, st.floats(0, 9e9), st.booleans())
def test_a_timed_name_tells_its_entry_and_fits_a_file(ms: int, label: str, at_s: float, leased: bool) -> None:
    entry = Entry.new(ms, label)

    name = timed(at_s, f"{'0123456789abcdef~' if leased else ''}{entry.name}")

    assert timed_entry(name) == (int(at_s * 1000), entry)
    assert len(name.encode()) <= 255
    assert "/" not in name


@given(NAMES)
def test_what_a_person_named_is_no_entry(name: str) -> None:
    assert not is_entry(name)
    assert timed_entry(name) is None


@pytest.mark.parametrize("at_s", [-5.0, 1e18])
def test_a_moment_out_of_bounds_is_the_nearest_that_sorts(at_s: float) -> None:
    name = timed(at_s, Entry.new(0).name)

    assert timed_entry(name) is not None


@given(MS, MS)
def test_names_sort_by_age(one_ms: int, other_ms: int) -> None:
    one, other = Entry.new(one_ms), Entry.new(other_ms)

    assert one_ms == other_ms or (one.name < other.name) == (one_ms < other_ms)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=25).filter(lambda name: name.strip("/")))
def test_a_short_label_is_told_as_it_was(label: str) -> None:
    assert Entry.new(0, label).origin == f"spool:inbox/{label}"
