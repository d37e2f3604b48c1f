from __future__ import annotations

import errno
import logging

import pytest
from zmq.error import ZMQError

from boostlab.execution.kernel_process import is_news


@pytest.mark.parametrize(
    ("error", "shown"), [(ZMQError(errno.ENOTSOCK), False), (ZMQError(errno.EAGAIN), True), (ValueError("x"), True), (None, True)]
)
def test_a_kernel_that_ends_does_not_complain_of_its_closed_sockets(error: Exception | None, shown: bool) -> None:
    found = (type(error), error, None) if error else None
    assert is_news(logging.LogRecord("tornado.general", logging.ERROR, "", 1, "Uncaught exception", None, found)) == shown
