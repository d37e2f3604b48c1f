"""Run the server: ``python -m boostlab.serving MODEL_FOLDER``."""

import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default, also while it imports

from boostlab.serving.server import main  # noqa: E402

if __name__ == "__main__":
    main()
