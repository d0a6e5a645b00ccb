"""W3C trace context, by the examples of its specification."""

import pytest

from transcriber_worker.observability.trace import TraceContext, parse_traceparent

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
VALID = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_valid_header_is_read() -> None:
    assert parse_traceparent(VALID) == TraceContext(TRACE_ID, SPAN_ID, sampled=True)
    assert parse_traceparent(f"00-{TRACE_ID}-{SPAN_ID}-00") == TraceContext(TRACE_ID, SPAN_ID, sampled=False)


@pytest.mark.parametrize("flags", ["03", "ff", "09"])
def test_only_the_sampled_flag_is_carried_on(flags: str) -> None:
    context = parse_traceparent(f"00-{TRACE_ID}-{SPAN_ID}-{flags}")

    assert context is not None
    assert context.traceparent == VALID


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later") == parse_traceparent(VALID)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        VALID.upper(),
        VALID + "-more",
        VALID + "\nx",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"cc-{TRACE_ID}-{SPAN_ID}-01x",
    ],
)
def test_an_invalid_header_is_no_header(text: str | None) -> None:
    assert parse_traceparent(text) is None
