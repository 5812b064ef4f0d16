"""Isolation of a child process: no network, and no life after its parent (Linux)."""

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
from pathlib import Path

from fathom.harness.errors import EngineFailed

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_ELSEWHERE = ("192.0.2.1", 9)  # TEST-NET-1: an address that is never used (RFC 5737)
_FALL_BACK = "allow it (in a container: --security-opt seccomp=...), or run the worker with --no-isolation"


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; `parent` is the expected parent's process id."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)


def hide_from_children() -> None:
    """Keep other processes of this user from reading this one's memory and environment."""
    _prctl(_PR_SET_DUMPABLE, 0)


def limit() -> None:
    """Gain no privileges by starting programs, and write no core files."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise EngineFailed(f"the kernel refuses prctl {option}: {os.strerror(ctypes.get_errno())}")


def leave_network() -> None:
    """Move this process, which must still have a single thread, into an empty network of its own.

    Raises:
        EngineFailed: the kernel does not allow it, or a route to outside remains.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise EngineFailed(f"the kernel refuses the runner a network of its own ({reason}): {_FALL_BACK}")
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    _raise_loopback()
    if can_leave():
        raise EngineFailed(f"the runner still has a network: {_FALL_BACK}")


def _raise_loopback() -> None:
    """Bring up `lo`, which libraries use to talk to themselves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        (flags,) = struct.unpack("16xh6x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16s8x", b"lo")))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh6x", b"lo", flags | _IFF_UP))


def can_leave() -> bool:
    """Say whether the kernel has a route to outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)  # for a datagram socket this only looks up a route
        except OSError as error:
            return error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
        return True
