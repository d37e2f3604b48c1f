"""The template process of couriers: it imports what couriers need once, and forks a courier for each order.

Run as ``python -P -m boostlab.execution.courier_template_process FD SOCKET`` by :mod:`boostlab.execution.courier_template`. FD is
its end of a pair of sockets, and SOCKET the path of a socket where the owner's kernels may order couriers too. A message brings
two descriptors: the courier's standard input, whose first line is the order, and its standard output. The process ends when the
owner closes its end. The couriers live on: each ends when its work is done.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import select
import signal
import sys
from pathlib import Path

from boostlab.execution.forking import ONE_THREAD, Orderers, fork_alone
from boostlab.execution.socket_folder import remove_after_owner
from boostlab.gc_pause import uncollected
from boostlab.tracking import courier_process

LINES_WITHOUT_JOURNAL = 2  # of an owner's orders: the environment, and the store


def main(descriptor: int, place: Path) -> None:
    """Load everything, and fork couriers; a forked process becomes a courier."""
    os.environ.update(ONE_THREAD)
    with uncollected():
        courier_process.load_all()
    gc.collect()
    gc.freeze()
    ignored = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the couriers
    orderers = Orderers(descriptor, place)
    while True:
        received = orderers.receive()
        if received is None:
            continue
        message, descriptors = received
        if not descriptors:
            if not message:  # the owner was killed
                remove_after_owner(place.parent)
            os._exit(0)  # there is nothing to finish
        try:
            is_courier = fork_alone() == 0
        except OSError:  # the owner sees that its courier has died, and starts an ordinary one
            is_courier = False
        if is_courier:
            signal.signal(signal.SIGCHLD, ignored)
            orderers.close()
            _become_courier(*descriptors)
            return
        for each in descriptors:
            os.close(each)


def _has_owner(reports: int) -> bool:
    """Tell whether somebody can read the reports."""
    poller = select.poll()
    poller.register(reports, 0)  # an end without a reader is told in any case
    return not poller.poll(0)


def _become_courier(orders: int, reports: int) -> None:
    """Turn this forked process into a courier, with the environment and the working directory of the order."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for source, target in ((orders, 0), (reports, 1), (nowhere, 2)):
        os.dup2(source, target)
        os.close(source)
    with contextlib.suppress(BrokenPipeError):  # the owner is gone: what it has ordered is in the pipe
        os.write(1, json.dumps({"event": "started", "journal": "", "pid": os.getpid()}).encode() + b"\n")
    if not _has_owner(1):
        given = sys.stdin.read()
        if given.count("\n") <= LINES_WITHOUT_JOURNAL:
            return
        sys.stdin = io.StringIO(given)
    order = json.loads(sys.stdin.readline())
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    courier_process.main()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
