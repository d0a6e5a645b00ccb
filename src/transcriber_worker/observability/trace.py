"""W3C trace context: a publisher's `traceparent`, carried on to the result."""

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span of a trace, as W3C Trace Context level 1 names it."""

    trace_id: str
    """32 lower-case hex digits, not all zero."""
    span_id: str
    """16 lower-case hex digits, not all zero."""
    sampled: bool

    @property
    def traceparent(self) -> str:
        """As a header, version 00; flags other than `sampled` are ours to drop."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(text: str | None) -> TraceContext | None:
    """The context that `text` names; None where it is absent or invalid, as the specification wants it treated."""
    match = _TRACEPARENT.fullmatch(text.strip(" \t")) if text is not None else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1))
