"""The health check of a container: exit with 0 if its server answers ``/health`` with 200.

It runs every few seconds, so it imports almost nothing: ``python -IS health.py``.
"""

import _socket  # the module `socket` takes as long as Python's own start
import os
import sys

PORTS = ("BOOSTLAB_PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT")  # as the server reads them
TIMEOUT_S = 2.5
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def main() -> int:
    """Return the exit code."""
    port = next((int(os.environ[name]) for name in PORTS if os.environ.get(name, "").isdigit()), 8080)
    connection = _socket.socket()
    connection.settimeout(TIMEOUT_S)
    connection.connect(("127.0.0.1", port))
    if os.environ.get("BOOSTLAB_TLS_CERTIFICATE_FILE"):
        return 0  # the handshake would take longer than all the rest: the connection has to do
    connection.send(REQUEST)
    return int(connection.recv(12) != b"HTTP/1.1 200")


if __name__ == "__main__":
    sys.exit(main())
