"""The template process of couriers: it imports what couriers need once, and forks a courier for each order.

Run as ``python -P -m boostlab.execution.courier_template_process FD`` by :mod:`boostlab.execution.courier_template`. FD is its
end of a pair of sockets. A message on it brings two descriptors: the courier's standard input, whose first line is the order,
and its standard output. The process ends when the owner closes its end. The couriers live on: each ends when its work is done.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys

from boostlab.execution.forking import ONE_THREAD, fork_alone
from boostlab.gc_pause import uncollected
from boostlab.tracking import courier_process


def main(descriptor: int) -> None:
    """Load everything, and fork couriers; a forked process becomes a courier."""
    os.environ.update(ONE_THREAD)
    with uncollected():
        courier_process.load_all()
    gc.collect()
    gc.freeze()
    ignored = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the couriers
    control = socket.socket(fileno=descriptor)
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not descriptors:
            return
        try:
            is_courier = fork_alone() == 0
        except OSError:  # the owner sees that its courier has died, and starts an ordinary one
            is_courier = False
        if is_courier:
            signal.signal(signal.SIGCHLD, ignored)
            control.close()
            _become_courier(*descriptors)
            return
        for each in descriptors:
            os.close(each)


def _become_courier(orders: int, reports: int) -> None:
    """Turn this forked process into a courier, with the environment and the working directory of the order."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for source, target in ((orders, 0), (reports, 1), (nowhere, 2)):
        os.dup2(source, target)
        os.close(source)
    os.write(1, json.dumps({"event": "started", "journal": "", "pid": os.getpid()}).encode() + b"\n")
    order = json.loads(sys.stdin.readline() or "null")
    if order is None:
        return
    os.environ.clear()
    os.environ.update(order["env"])
    os.umask(order["umask"])
    os.chdir(order["cwd"])
    courier_process.main()


if __name__ == "__main__":
    main(int(sys.argv[1]))
