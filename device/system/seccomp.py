"""What a process that reads untrusted data may no longer ask of the kernel: start or disturb other processes. Threads stay possible, since decoders use them.

RLIMIT_NPROC cannot tell threads from processes, so the kernel is given a filter of system calls (seccomp(2), classic BPF).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
ALLOW, ERROR = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h: words, compared with a constant
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
CLONE_THREAD = 0x10000
CLONE3 = 435  # its flags lie in memory, where a filter cannot look; the C library then uses clone
X32 = 0x40000000  # a second numbering of the calls on x86-64

CALLS = {  # machine -> AUDIT_ARCH, clone, and the calls that are refused: of linux/audit.h, asm/unistd.h
    # fork, vfork, execve, execveat, kill, tkill, tgkill, ptrace, process_vm_readv, process_vm_writev
    "x86_64": (0xC000003E, 56, (57, 58, 59, 322, 62, 200, 234, 101, 310, 311)),
    "aarch64": (0xC00000B7, 220, (221, 281, 129, 130, 131, 117, 270, 271)),
}


def threads_only() -> None:
    """Refuse this process, from now on and for good, whatever starts, reads or ends another one.

    Raises:
        OSError: the kernel, or this kind of machine, has no such filter.
    """
    if platform.machine() not in CALLS:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {platform.machine()}")
    program = _program(*CALLS[platform.machine()])
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    zero = ctypes.c_ulong(0)
    if prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or prctl(SET_SECCOMP, ctypes.c_ulong(FILTER), head, zero, zero):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _program(architecture: int, clone: int, refused: tuple[int, ...]) -> list[bytes]:
    """The filter: instructions of struct sock_filter, each with how many to skip where its comparison holds, and where it does not."""
    allow = len(refused) + 8  # the place of each of the three answers at the end
    refuse, unknown = allow + 1, allow + 2
    return [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, architecture, 0, refuse - 2),
        _step(LOAD, NUMBER),
        _step(AT_LEAST, X32, refuse - 4),
        _step(EQUAL, CLONE3, unknown - 5),
        *(_step(EQUAL, call, refuse - at - 1) for at, call in enumerate(refused, 5)),
        _step(EQUAL, clone, 0, 2),
        _step(LOAD, FIRST_ARGUMENT),
        _step(ANY_BIT, CLONE_THREAD, 0, 1),
        _step(RETURN, ALLOW),
        _step(RETURN, ERROR | errno.EPERM),
        _step(RETURN, ERROR | errno.ENOSYS),
    ]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)
