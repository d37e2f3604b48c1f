"""A port that outlives its servers, so that one server replaces another without a lost request.

``python -m boostlab.serving.shared_port PATH HOST PORT`` holds the port: it owns the listening sockets, and gives them to each
server that connects to its Unix socket. A connection that no server has accepted waits there, also while a server restarts.
This module imports nothing heavy: the holder takes 10 MB of memory, and no time of a request.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

LISTENERS = 16  # more than one, so that the kernel distributes connections over the workers of a server
RETRY_S = 0.1


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on a port that other sockets of this user may share."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def hold(path: Path, host: str, port: int) -> None:
    """Listen on a port, and give the sockets to each process that connects to the Unix socket `path`; never return."""
    listeners = [listen(host, port) for _ in range(LISTENERS)]
    path.unlink(missing_ok=True)  # of a holder that was killed
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        servers: list[socket.socket] = []
        while True:
            server, _ = door.accept()
            with suppress(OSError):  # it is gone already
                socket.send_fds(server, [b"\n"], [listener.fileno() for listener in listeners])
            servers = [server, *(one for one in servers if not is_closed(one))]  # open as long as the holder lives


def join(path: str, *, worker: int, workers: int, say_waiting: Callable[[], object]) -> tuple[socket.socket, list[socket.socket]]:
    """Wait for a holder, and return the connection to it and the listening sockets that a worker accepts from.

    The workers of a server divide the sockets; with more workers than sockets, some share one. `say_waiting` is called once if
    there is no holder yet.
    """
    for attempt in count():
        holder = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            holder.connect(path)
            _, descriptors, *_ = socket.recv_fds(holder, 1, LISTENERS)
            if descriptors:
                own = descriptors[worker % len(descriptors) :: workers]
                for number in set(descriptors).difference(own):
                    os.close(number)
                return holder, [socket.socket(fileno=number) for number in own]
        holder.close()
        if not attempt:
            say_waiting()
        time.sleep(RETRY_S)
    raise AssertionError


def is_closed(peer: socket.socket) -> bool:
    """Tell whether the other end of a connection, which sends nothing, is closed."""
    try:
        return not peer.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default
    hold(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
