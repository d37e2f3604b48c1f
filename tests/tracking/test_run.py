"""A run as a notebook records it: what goes into its journal, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Picture
from tests.support.runs import make_facts

from boostlab.display.figures import finish_axes, make_axes
from boostlab.errors import LabError, StoreError
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.notebook.settings import Tracked
from boostlab.tracking.facts import REPORTS_TAG, TAG_LENGTH
from boostlab.tracking.journal import Journal
from boostlab.tracking.reports import listening
from boostlab.tracking.run import Run
from boostlab.tracking.start import start_run


@pytest.fixture
def journal() -> Journal:
    return Journal.create(make_facts(run_id="r"))


def written(journal: Journal) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.type, entry.content) for entry in journal.entries()]


def test_attaches_to_the_run_that_the_engine_made(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOURNAL_VARIABLE, str(journal.path))
    run = start_run(Tracked(experiment="train", run_name="", tracking_uri=""))
    assert run.facts == journal.facts()


def test_from_the_start_of_a_run_tables_have_sensible_digits(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOURNAL_VARIABLE, str(journal.path))
    with pd.option_context("display.float_format", None):
        start_run(Tracked(experiment="train", run_name="", tracking_uri=""))
        shown = pd.DataFrame({"x": [61.283088, 0.0380759064334241, 123456.78], "n": [1, 20260101, 3]}).to_html()
    numbers = ["61.28", "0.03808", "123,457", "20260101"]
    assert [text for text in numbers if f">{text}<" in shown] == numbers


def test_records_final_metrics_and_curves(journal: Journal) -> None:
    run = Run(journal)
    run.log_metrics({"test_rmse": 2, "best": 0.5})
    run.log_curves({"valid_rmse": [3.0, 2.0]})
    final, curve = (content for _, content in written(journal))
    assert final["final"] and [(name, value, step) for name, value, _, step in final["points"]] == [
        ("test_rmse", 2.0, 0),
        ("best", 0.5, 0),
    ]
    assert not curve["final"] and [(value, step) for _, value, _, step in curve["points"]] == [(3.0, 0), (2.0, 1)]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"a;b": 1.0}, "A metric cannot have the name 'a;b'. Allowed: letters"),
        ({"": 1.0}, "A metric cannot have the name ''"),
        ({"x" * 251: 1.0}, "A metric cannot have the name 'xxx"),
        ({"rmse": "low"}, "The metric 'rmse' is 'low'. A metric is a number."),
        ({"rmse": None}, "The metric 'rmse' is None"),
    ],
)
def test_refuses_what_is_no_metric(journal: Journal, metrics: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError, match=words):
        Run(journal).log_metrics({"fine": 1.0, **metrics})
    assert written(journal) == []


def test_records_files_and_shows_the_figure_that_it_records(journal: Journal) -> None:
    run = Run(journal)
    shown = run.log_figure(finish_axes(make_axes(2.0), "Gain"), "gain")
    run.log_text("é", "notes/a.txt")
    run.log_table(pa.table({"a": [1, 2]}), "tables/a.parquet")
    files = {str(path.relative_to(entry.files)): path for entry in journal.entries() for path in entry.files.rglob("*.*")}
    assert sorted(files) == ["notes/a.txt", "plots/gain.png", "tables/a.parquet"]
    assert files["plots/gain.png"].read_bytes() == shown.png
    with Picture.open(files["plots/gain.png"]) as picture:
        assert (picture.width, shown.alt) == (1.5 * shown.width, "Gain")
    assert files["notes/a.txt"].read_text(encoding="utf-8") == "é"
    assert pq.read_table(files["tables/a.parquet"]).to_pydict() == {"a": [1, 2]}


def test_finishing_reports_what_the_store_refused(journal: Journal) -> None:
    run = Run(journal)
    run.log_tags({"a": "b"})
    (entry,) = journal.entries()
    journal.add_receipt(entry, {"refused": "The store refuses it: too long."})
    journal.move_cursor(sent=entry.end)
    with pytest.raises(StoreError, match=r"The store refuses it: too long\.") as caught:
        run.finish()
    assert caught.value.kind == "refused"


def test_a_trial_keeps_as_many_reports_as_a_tag_can_hold(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(journal)
    with listening("loss", lambda *_: False, folder=tmp_path) as listener:
        for name, text in listener.variable().items():
            monkeypatch.setenv(name, text)
        for step in range(600):
            run.report("loss", step / 7, step=step)
    text = [content[REPORTS_TAG] for kind, content in written(journal) if kind == "tags"][-1]
    kept = json.loads(text)
    assert len(text) <= TAG_LENGTH and list(kept)[-1] == "599" and len(kept) > 100


def test_finishing_does_not_wait_for_a_lost_store(journal: Journal) -> None:
    run = Run(journal)
    run.log_dataset({"name": "d"})
    journal.mark_lost()
    run.finish()
    assert next(journal.entries()).content == {"name": "d", "context": "training"}


def test_records_all_findings_in_one_tag_and_one_file_and_shows_the_new_ones(journal: Journal) -> None:
    run = Run(journal)
    assert run.log_findings([]).data == "No findings."
    assert written(journal) == []
    run.log_findings(["Few rows."])
    assert run.log_findings(["Few rows.", "a*b is <left> out."]).data == "- Few rows\\.\n- a\\*b is \\<left\\> out\\."
    tags = [content for kind, content in written(journal) if kind == "tags"]
    assert json.loads(tags[-1]["boostlab.findings"]) == run.findings == ["Few rows.", "a*b is <left> out."]
    files = [entry.files / "findings.json" for entry in journal.entries() if entry.type == "files"]
    assert json.loads(files[-1].read_text()) == run.findings


def test_a_tag_holds_as_many_items_as_it_can(journal: Journal) -> None:
    items = [f"finding {number}" for number in range(1000)]
    Run(journal).log_tags({"list": items, "dict": dict.fromkeys(items, "x"), "text": "y"})
    ((_, tags),) = written(journal)
    for shown, expected in ((json.loads(tags["list"]), items), (list(json.loads(tags["dict"])), items)):
        assert shown == expected[: len(shown)]
        assert len(shown) > 100
    assert 4900 < len(tags["list"]) <= 5000 and 4900 < len(tags["dict"]) <= 5000
    assert tags["text"] == "y"


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2)])
def test_takes_numbers_of_any_kind(journal: Journal, value: Any) -> None:
    Run(journal).log_metrics({"rmse": value})
    ((_, content),) = written(journal)
    assert content["points"][0][1] == 0.5


def test_keeps_secrets_out_of_what_a_notebook_records(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "from-outside")
    run = Run(journal, secrets=frozenset({"a-parameter"}))
    run.log_tags({"said": "from-outside and a-parameter"})
    run.log_dataset({"name": "d", "source": '{"url": "s3://me:pass@host"}'})
    run.log_text("<p>from-outside</p>", "page.html")
    texts = "".join(path.read_text() for path in journal.path.rglob("*") if path.is_file() and path.name != "reserve")
    assert not any(secret in texts for secret in ("from-outside", "a-parameter", "pass@"))


def test_records_many_values_in_little_time(journal: Journal) -> None:
    run = Run(journal)
    for number in range(1500):
        run.log_metrics({"loss": number})
    assert [content["points"][0][1] for _, content in written(journal)] == list(range(1500))
