"""What a service tells systemd: sd_notify(3), the datagram protocol, without its library."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import timedelta

_PATIENCE = 1.0
"""Seconds to wait for a manager that does not read: it must not keep a service from ending."""


def notify(state: str) -> None:
    """Send ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` or a ``STATUS=``; nothing where nobody asked."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_PATIENCE)
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send(state.encode())


def watchdog_interval() -> timedelta | None:
    """How often systemd wants to hear that this process is alive; ``None`` when it does not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in {None, str(os.getpid())}:
        return None
    return timedelta(microseconds=int(microseconds)) / 2
