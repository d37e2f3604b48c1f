from __future__ import annotations

import pytest

from boostlab.data.tags import JUDGING_TAG
from boostlab.errors import LabError
from boostlab.sweep.same_rows import SameRows


def test_refuses_trials_on_other_rows_unless_they_are_searched_or_unknown() -> None:
    rows = SameRows("mine", ["eta"])
    for name, judges in (("one", "a"), ("two", ""), ("three", "a")):
        rows.check({JUDGING_TAG: judges}, name=name)
    with pytest.raises(LabError, match=r"trials one and four of the study mine were judged on different rows.*-p study NAME"):
        rows.check({JUDGING_TAG: "b"}, name="four")
    for searched in ("dataset", "split_seed", "test_size"):
        rows = SameRows("mine", ["eta", searched])
        rows.check({JUDGING_TAG: "a"}, name="one")
        rows.check({JUDGING_TAG: "b"}, name="two")
