"""The chart's rules in a time that runs faster, so that half an hour passes while a test waits.

Scaled are durations (ranges, subqueries, offsets, `for`) and, in a rule that looks at the clock or at an age, the
numbers that it compares with. Not scaled: counts, ratios, and seconds of audio or speech, which pass no faster.
"""

import re
from typing import Any

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_STRING = r'"(?:[^"\\]|\\.)*"'
_DURATION = re.compile(rf"{_STRING}|(?<![\w.])(?P<duration>(?:\d+(?:ms|[smhdwy]))+)(?!\w)")
_COMPARED = re.compile(rf"{_STRING}|(?<=[<>=])(?P<space>\s*)(?P<number>\d+(?:\.\d+)?)(?![\w.])")
_CLOCK = re.compile(r"\btime\(\)|_age_seconds\b")


def milliseconds(duration: str) -> int:
    """A duration as Prometheus writes it: `1h30m`, `500ms`."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"no duration: {duration}")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


def faster_duration(duration: str, factor: float) -> str:
    return f"{max(1, round(milliseconds(duration) / factor))}ms"


def faster_expression(expression: str, factor: float) -> str:
    def scaled_duration(found: re.Match[str]) -> str:
        return faster_duration(found["duration"], factor) if found["duration"] else found[0]

    def scaled_number(found: re.Match[str]) -> str:
        return f"{found['space']}{float(found['number']) / factor:g}" if found["number"] else found[0]

    if _CLOCK.search(expression):
        expression = _COMPARED.sub(scaled_number, expression)
    return _DURATION.sub(scaled_duration, expression)


def faster_rules(groups: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """Groups of alerting rules; what they say to people stays as it is."""
    return [{**group, "rules": [_faster_rule(rule, factor) for rule in group["rules"]]} for group in groups]


def _faster_rule(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    scaled = {**rule, "expr": faster_expression(rule["expr"], factor)}
    if "for" in rule:
        scaled["for"] = faster_duration(rule["for"], factor)
    return scaled
