"""The workers of a cluster that one piece of work uses: which are there, which can be used, and which were lost."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from distributed import Client

from boostlab.cluster.versions import check_versions, read_versions

POLL_S = 0.1


def list_workers(client: Client) -> dict[str, dict[str, Any]]:
    """Return what the scheduler knows of each worker, by address, in the order of the addresses.

    Raises
    ------
    OSError
        If the scheduler cannot be reached.
    """
    try:
        return dict(sorted(client.scheduler_info(n_workers=-1)["workers"].items()))
    except (KeyError, RuntimeError):  # of a client that has given up, or was closed
        raise OSError("the scheduler is lost") from None


class Members:
    """The workers of a cluster.

    A worker that is started again may have the address of its predecessor. So each is known by its address and by what tells it
    from others.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lost: set[str] = set()
        self._checked: set[str] = set()

    def known(self) -> dict[str, str]:
        """Return what tells each worker from others, by its address.

        Raises
        ------
        OSError
            If the scheduler cannot be reached.
        """
        found = list_workers(self._client)
        return {address: about["id"] for address, about in found.items() if about["id"] not in self._lost}

    def find(self, *, timeout_s: float) -> dict[str, str]:
        """Return the workers that can be used, once there is one; empty after `timeout_s` without one.

        Raises
        ------
        LabError
            If a worker has other versions of the packages.
        OSError
            If the scheduler cannot be reached.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            known = self.known()
            usable = {address: known[address] for address in self._check(known)}
            if usable:
                return usable
            time.sleep(POLL_S)
        return {}

    def are_there(self, workers: Mapping[str, str]) -> bool:
        """Tell whether the scheduler still knows all these workers; a scheduler that does not answer is no answer."""
        try:
            return self._client.status != "running" or workers.items() <= self.known().items()
        except OSError:
            return True

    def find_lost(self, workers: Mapping[str, str]) -> list[str]:
        """Return the addresses of the workers that do not answer, or are others now; they are not used again.

        Raises
        ------
        OSError
            If the scheduler cannot be reached.
        """
        if self._client.status != "running":
            raise OSError("the scheduler is lost")
        answering, now = self._client.run(os.getpid, workers=list(workers), on_error="ignore"), self.known()
        lost = [address for address, own in workers.items() if address not in answering or now.get(address) != own]
        self._lost |= {workers[address] for address in lost}
        return lost

    def _check(self, known: Mapping[str, str]) -> list[str]:
        """Return the addresses of the workers that answer, after a check of the versions of new ones."""
        addresses = list(known)
        new = [address for address in addresses if known[address] not in self._checked]
        answers = self._client.run(read_versions, workers=new, on_error="return") if new else {}
        for address, versions in answers.items():
            if isinstance(versions, OSError):  # it has gone meanwhile
                addresses = [other for other in addresses if other != address]
            else:
                check_versions(versions, where=f"The worker {address}")
                self._checked.add(known[address])
        return addresses
