"""What a reader process gives up before it touches a file. Runs in the child only; Linux.

`detach` comes first, before any vendor library is loaded; `limit` once they are; `seal` once the file is open. The
network namespace and the system call filter depend on the kernel and the container's rules; `limit` says which hold.
"""

import ctypes
import errno
import math
import os
import resource
import signal
import sys

from transcriber_worker.media import seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
_MAX_OPEN_FILES = 16

_libc = ctypes.CDLL(None, use_errno=True)


def detach(parent_pid: int) -> bool:
    """Die with the parent, gain no privileges, leave the network; returns whether the last worked. Exits at once where
    the parent is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # A user namespace, which lets anyone leave the network, can only be entered by a process of one thread.
    return any(_libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def limit(memory_bytes: int, cpu_s: float) -> None:
    """Bound address space and CPU time; write no file, open few, start no process, keep no capability."""
    cpu = math.ceil(cpu_s)
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES, _MAX_OPEN_FILES),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_CPU, cpu, cpu + 1),
    ):
        resource.setrlimit(what, (soft, hard))
    _drop_capabilities()


def can_seal() -> bool:
    """Whether `seal` will work here: a kernel that takes filters complains of the missing one as a bad address."""
    refused = _libc.prctl(seccomp.PR_SET_SECCOMP, seccomp.MODE_FILTER, None, 0, 0) != 0
    return seccomp.supported() and refused and ctypes.get_errno() == errno.EFAULT


def seal() -> None:
    """From here on only compute, read and write what is open, and exit: whatever a demuxer may be talked into, the
    kernel opens no file and no socket for it, and starts no program."""
    seccomp.install(_libc)


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
