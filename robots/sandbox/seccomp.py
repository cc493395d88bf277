"""The filter on system calls, as a classic BPF program that bubblewrap loads.

A second wall behind the namespaces: kernel doors that no program of ours needs are shut for all,
and a worker can start no process and open no socket, so that the attempt itself fails with a name
(PermissionError) instead of only leading nowhere.
"""

import errno
import os
import struct

from robots.sandbox.spec import SyscallFilter

# Source: Linux, include/uapi/linux/{audit,bpf_common,seccomp,sched}.h.
_ARCHITECTURE = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_LOAD, _JUMP_EQUAL, _JUMP_NOT_BELOW, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_CLONE_THREAD, _CLONE_NEWUSER = 0x0001_0000, 0x1000_0000
_X32_BIT = 0x4000_0000

# Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl: x86_64, aarch64.
_BASE: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
# `execve` stays, because bubblewrap itself uses it last; without a fork it leads nowhere.
_WORKER: dict[str, tuple[int | None, int | None]] = {
    "execveat": (322, 281),
    "fork": (57, None),
    "socket": (41, 198),
    "vfork": (58, None),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)


def program(wanted: SyscallFilter, machine: str | None = None) -> bytes | None:
    """Assemble a filter.

    Args:
        wanted: which one.
        machine: as ``os.uname().machine``; this machine's by default.

    Returns:
        The program, or None where none is wanted or the architecture is not known here.
    """
    machine = machine or os.uname().machine
    if wanted is SyscallFilter.NONE or machine not in _ARCHITECTURE:
        return None
    column = 0 if machine == "x86_64" else 1
    table = _BASE if wanted is SyscallFilter.BASE else _BASE | _WORKER
    numbers = [entry[column] for entry in table.values()]
    refuse, unknown = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

    code = _step(_LOAD, _AT_ARCHITECTURE)
    code += _step(_JUMP_EQUAL, _ARCHITECTURE[machine], 1, 0) + _step(_RETURN, unknown)
    code += _step(_LOAD, _AT_NUMBER)
    if machine == "x86_64":
        code += _step(_JUMP_NOT_BELOW, _X32_BIT, 0, 1) + _step(_RETURN, unknown)
    for number in numbers:
        if number is not None:
            code += _step(_JUMP_EQUAL, number, 0, 1) + _step(_RETURN, refuse)
    # The flags of clone3 lie in memory, out of a filter's reach; told that there is no clone3, C
    # libraries use clone.
    code += _step(_JUMP_EQUAL, _CLONE3[column], 0, 1) + _step(_RETURN, unknown)
    code += _step(_JUMP_EQUAL, _CLONE[column], 0, 4) + _step(_LOAD, _AT_FIRST_ARGUMENT)
    if wanted is SyscallFilter.WORKER:
        code += _step(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0) + _step(_RETURN, refuse)
    else:
        code += _step(_JUMP_ANY_BIT, _CLONE_NEWUSER, 0, 1) + _step(_RETURN, refuse)
    return code + _step(_RETURN, _ALLOW) + _step(_RETURN, _ALLOW)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
