"""What the tests of sweeps share."""

from __future__ import annotations

from tests.support.sweeps import sweeps  # noqa: F401  # a fixture
