"""What a process and all its descendants use, as the operating system counts it."""

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the processes began, user and system, of descendants that have ended too; resident bytes now,
    memory that processes share counted for each."""

    cpu_s: float
    rss_bytes: int
    own_cpu_s: float = 0.0
    """Of the process itself, without its descendants."""


def usage_of(pid: int) -> Usage:
    """Of the process `pid` and its descendants; nothing where it is gone."""
    cpu_s, rss_bytes, own_cpu_s = 0.0, 0, 0.0
    for process in _tree(pid):
        try:
            with process.oneshot():
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
        except psutil.Error:
            continue  # ended just now: its CPU seconds are on its parent's account once it is reaped
        cpu_s += times.user + times.system + times.children_user + times.children_system
        if process.pid == pid:
            own_cpu_s = times.user + times.system
    return Usage(cpu_s, rss_bytes, own_cpu_s)


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """CPU seconds that everybody used since the machine began, of all its processors; a host's own where this is one
    of its virtual machines."""

    busy_cpu_s: float
    cpus: int


def machine_load() -> MachineLoad:
    """As the operating system counts it now."""
    times = psutil.cpu_times()._asdict()
    # A guest's time is in its user's already.
    busy_s = sum(seconds for name, seconds in times.items() if name not in ("idle", "iowait", "guest", "guest_nice"))
    return MachineLoad(busy_s, psutil.cpu_count() or 1)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
