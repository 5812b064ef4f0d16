"""Take a process away from the network, and from life after its parent (Linux)."""

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
_ELSEWHERE = ("192.0.2.1", 9)  # TEST-NET-1: an address that nobody has (RFC 5737)
_FALL_BACK = "allow it (in a container: --security-opt seccomp=...), or run the worker with --no-isolation"


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent, of that process id, ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def hide_from_children() -> None:
    """Let no other process of this user read this one's memory and environment."""
    _prctl(_PR_SET_DUMPABLE, 0)


def limit() -> None:
    """Gain no rights by starting programs, and leave no core files."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise EngineFailed(f"the kernel refuses prctl {option}: {os.strerror(ctypes.get_errno())}")


def leave_network() -> None:
    """Move this process, which must have one thread as yet, into a network of its own that leads nowhere.

    Raises:
        EngineFailed: the kernel does not allow it, or something outside can still be reached.
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
    """Bring up `lo`, through which libraries talk to themselves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        (flags,) = struct.unpack("16xh6x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16s8x", b"lo")))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh6x", b"lo", flags | _IFF_UP))


def can_leave() -> bool:
    """Say whether a packet could leave this machine's loopback: whether the kernel knows a way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)  # a datagram socket only looks for a route
        except OSError as error:
            return error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
        return True
