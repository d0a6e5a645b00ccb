"""CPU seconds and memory of a process and its descendants, against real processes."""

import os
import subprocess
import sys

from transcriber_worker.observability.process_tree import Usage, machine_load, usage_of

BURN = """
import sys, time
ballast = bytes(range(256)) * 400_000
while time.process_time() < 0.3:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""


def test_children_count_while_they_live_and_their_cpu_seconds_after_it() -> None:
    before = usage_of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"burnt\n"
        alive, of_child = usage_of(os.getpid()), usage_of(child.pid)
    ended = usage_of(os.getpid())
    assert of_child.cpu_s >= 0.28, "in ticks of the operating system"
    assert of_child.rss_bytes >= 100e6
    assert alive.cpu_s - before.cpu_s >= 0.28
    assert alive.rss_bytes - before.rss_bytes >= 90e6
    assert ended.cpu_s >= alive.cpu_s - 0.02
    assert ended.rss_bytes < alive.rss_bytes
    assert alive.own_cpu_s - before.own_cpu_s < 0.28, "its child's are not its own"
    assert ended.own_cpu_s - before.own_cpu_s < 0.28, "nor when they have ended"
    assert of_child.own_cpu_s == of_child.cpu_s
    assert usage_of(child.pid) == Usage(0.0, 0)


def test_the_machine_is_as_busy_as_this_process_at_least() -> None:
    used, load = usage_of(os.getpid()), machine_load()
    while usage_of(os.getpid()).cpu_s - used.cpu_s < 0.2:
        pass
    assert machine_load().busy_cpu_s - load.busy_cpu_s >= 0.15
    assert load.cpus >= 1
