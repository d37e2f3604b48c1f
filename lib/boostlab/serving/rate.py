"""A limit of requests per client, which all workers of a server share."""

from __future__ import annotations

import mmap
import socket
import time

SLOTS = 1 << 20  # 8 MB at most, and only those in use take memory


class RateLimiter:
    """The generic cell rate algorithm: for each client, the time at which its next request is due.

    The workers share memory that the parent made before it forked. Clients that fall into one slot share a limit. Python hashes
    with a secret of this server, so nobody can choose whom to disturb.

    Parameters
    ----------
    per_second : float
        Requests per second that a client may send in the long run.
    burst : int
        Requests that it may send at once, after a pause.
    """

    def __init__(self, per_second: float, *, burst: int) -> None:
        self._interval_s, self._ahead_s = 1 / per_second, (burst - 1) / per_second
        self._due = memoryview(mmap.mmap(-1, SLOTS * 8)).cast("d")

    def take(self, client: bytes) -> float:
        """Count a request; return 0, or the seconds until the client may send it, and then it does not count.

        Examples
        --------
        >>> limiter = RateLimiter(0.5, burst=2)
        >>> [round(limiter.take(b"key"), 1) for _ in range(3)]
        [0, 0, 2.0]
        """
        slot, now = hash(client) % SLOTS, time.monotonic()
        due = max(self._due[slot], now)
        if (wait_s := due - now - self._ahead_s) > 0:
            return wait_s
        self._due[slot] = due + self._interval_s
        return 0


def find_network(address: str) -> bytes:
    """Return what stands for a client's address: of IPv6 the first half, for one client has all that begin with it.

    Examples
    --------
    >>> find_network("2001:db8::1:2") == find_network("2001:db8::3") != find_network("2001:db8:0:1::3")
    True
    >>> find_network("192.0.2.1"), find_network("::ffff:192.0.2.1")
    (b'192.0.2.1', b'::ffff:192.0.2.1')
    """
    if ":" not in address or address.startswith("::ffff:"):
        return address.encode()
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]
