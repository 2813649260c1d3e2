"""The supervisor's seccomp filter, run on paper: which calls are asked about, on both processors it knows."""

from __future__ import annotations

import errno
import os
import platform
import struct

import pytest

import seccomp

ALLOW, NOTIFY, NOT_IMPLEMENTED = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# asm/unistd.h of each; the names of what changes a file system by path or by descriptor.
ASKED = {
    "x86_64": {
        "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87,
        "symlink": 88, "mknod": 133, "mkdirat": 258, "mknodat": 259, "unlinkat": 263, "renameat": 264, "linkat": 265,
        "symlinkat": 266, "fallocate": 285, "renameat2": 316,
    },
    "aarch64": {
        "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "truncate": 45,
        "ftruncate": 46, "fallocate": 47, "renameat2": 276,
    },
}  # fmt: skip
OPENAT = {"x86_64": 257, "aarch64": 56}
WRITE = {"x86_64": 1, "aarch64": 64}


def verdict(machine: str, number: int, *args: int, architecture: int | None = None) -> int:
    """What the filter returns for a call, by interpreting its instructions as the kernel does (bpf(4))."""
    data = struct.pack("=iIQ6Q", number, architecture or ARCHITECTURE[machine], 0, *[*args, *[0] * 6][:6])
    code, accumulator, at = seccomp.program(), 0, 0
    while True:
        operation, yes, no, value = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x06:
            return int(value)
        else:
            test = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            at += yes if test else no


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each processor in its turn."""
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


def test_every_change_of_names_and_sizes_is_asked_about(machine: str) -> None:
    assert {name: verdict(machine, number) for name, number in ASKED[machine].items()} == dict.fromkeys(
        ASKED[machine], NOTIFY
    )


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDWR | os.O_APPEND])
def test_an_open_that_can_change_something_is_asked_about(machine: str, flags: int) -> None:
    assert verdict(machine, OPENAT[machine], 0, 0, flags) == NOTIFY


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_CLOEXEC, os.O_DIRECTORY | os.O_NONBLOCK])
def test_an_open_that_only_reads_passes(machine: str, flags: int) -> None:
    assert verdict(machine, OPENAT[machine], 0, 0, flags) == ALLOW


def test_writes_pass_without_a_question(machine: str) -> None:
    assert verdict(machine, WRITE[machine]) == ALLOW


def test_other_ways_to_open_a_file_do_not_exist_for_the_server(machine: str) -> None:
    handle = {"x86_64": 304, "aarch64": 265}[machine]
    openat2, io_uring = 437, 425
    assert {verdict(machine, number) for number in (handle, openat2, io_uring)} == {NOT_IMPLEMENTED}


def test_calls_of_another_instruction_set_do_not_pass(machine: str) -> None:
    assert verdict(machine, WRITE[machine], architecture=0x40000003) == NOT_IMPLEMENTED  # i386


def test_the_second_set_of_calls_of_x86_64_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert verdict("x86_64", 0x40000000 | OPENAT["x86_64"], 0, 0, os.O_RDWR) == NOT_IMPLEMENTED


def test_another_processor_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="no supervision on a processor riscv64"):
        seccomp.program()
