from __future__ import annotations

import pytest

from boostlab.errors import LabError
from boostlab.sweep.same_rows import SameRows


def test_refuses_trials_on_other_rows_unless_they_are_searched_or_unknown() -> None:
    rows = SameRows("mine", ["eta"])
    for split in ("a", "", "a"):
        rows.check({"boostlab.split": split})
    with pytest.raises(LabError, match=r"study mine were judged on different rows \(splits a and b\).*-p study NAME"):
        rows.check({"boostlab.split": "b"})
    for name in ("dataset", "split_seed", "test_size"):
        rows = SameRows("mine", ["eta", name])
        rows.check({"boostlab.split": "a"})
        rows.check({"boostlab.split": "b"})
