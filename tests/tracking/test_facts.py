"""The facts of a run: what they hold at its start, and that they survive their file."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from tests.support.runs import make_facts

from boostlab.tracking.facts import RunFacts, describe_run
from boostlab.tracking.store import find_store


def test_survive_their_file_and_ignore_the_keys_of_other_versions() -> None:
    facts = make_facts(run_id="r", experiment_id="1", output_path="/out.ipynb")
    text = json.dumps({**asdict(facts), "a_later_key": 1})
    assert RunFacts.from_json(json.loads(text)) == facts
    assert facts.run_url == "http://127.0.0.1:5000/#/experiments/1/runs/r"


def test_name_the_run_after_the_notebook_unless_the_parameters_do(tmp_path: Path) -> None:
    store = find_store("", project=tmp_path)
    notebook = tmp_path / "train.ipynb"
    facts = describe_run({}, store, notebook=notebook, origin="papermill", output_path=None)
    assert (facts.experiment, facts.notebook, facts.run_name[:6], len(facts.run_name)) == ("train", "train", "train-", 14)
    named = {"experiment": "wine", "run_name": "first"}
    facts = describe_run(named, store, notebook=notebook, origin="papermill", output_path=tmp_path / "out.ipynb")
    assert (facts.experiment, facts.run_name, facts.output_path) == ("wine", "first", str(tmp_path / "out.ipynb"))


def test_mask_secrets_and_write_parameters_as_text(tmp_path: Path) -> None:
    store = find_store("http://me:horse-staple@host", project=tmp_path)
    values = {"api_key": "correct-battery", "rows": ["a", "b"], "eta": 0.1, "source": "ftp://me:hunter-22@host/x"}
    facts = describe_run(values, store, notebook=None, origin="jupyter", output_path=None)
    assert facts.params == {"api_key": "***", "rows": '["a", "b"]', "eta": "0.1", "source": "ftp://me:***@host/x"}
    assert not [secret for secret in ("horse-staple", "correct-battery", "hunter-22") if secret in json.dumps(asdict(facts))]


def test_hold_the_commit_of_a_notebook_in_a_repository(tmp_path: Path) -> None:
    store = find_store("", project=tmp_path)
    notebook = tmp_path / "train.ipynb"
    notebook.touch()
    outside = describe_run({}, store, notebook=notebook, origin="papermill", output_path=None)
    assert "mlflow.source.git.commit" not in outside.tags
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "Begin"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    inside = describe_run({}, store, notebook=notebook, origin="papermill", output_path=None)
    assert inside.tags["mlflow.source.git.commit"] == head.strip()
    assert inside.source == str(notebook)
