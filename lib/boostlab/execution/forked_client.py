"""The client of a forked kernel's sockets."""

from __future__ import annotations

import time
from queue import Empty

from jupyter_client.asynchronous import AsyncKernelClient

ANSWER_TIMEOUT_S = 1.0


class ForkedClient(AsyncKernelClient):
    """Jupyter's client, which does not wait for silence: a forked kernel greets each client of its IOPub channel once."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel answers, and the channel of its outputs is connected.

        Raises
        ------
        RuntimeError
            If the kernel dies before, or `timeout` seconds pass.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        is_answered = is_greeted = False
        while not (is_answered and is_greeted):
            try:
                if not is_answered:
                    await self.kernel_info(reply=True, timeout=ANSWER_TIMEOUT_S)
                    is_answered = True
                await self.get_iopub_msg(timeout=ANSWER_TIMEOUT_S)
                is_greeted = True
            except (TimeoutError, Empty):
                if not await self.is_alive():
                    raise RuntimeError("Kernel died before replying to kernel_info") from None
                if time.monotonic() > deadline:
                    raise RuntimeError(f"Kernel didn't respond in {timeout} seconds") from None
                is_answered = False  # ask again: its messages on the channel of outputs show that it is connected
