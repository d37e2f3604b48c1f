"""The panel in Python, driven by its controls on a real store; test_registry_panel_browser.py tests it in a browser."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.paths import PROJECT
from tests.support.registry import STRONG, WEAK, add_version, registry_settings
from tests.support.stores import NewStore

from boostlab.display.tables import Table
from boostlab.tracking.store import find_store, open_store
from boostlab.widgets.registry_panel import Panel, show_panel

EVIL = "sugar <img src=x onerror=alert(1)> **b** $x$"


@pytest.fixture
def client(tmp_path: Path, new_store: NewStore) -> Any:
    client = open_store(find_store(new_store(tmp_path), project=tmp_path)).client
    for rounds in (WEAK, STRONG):
        add_version(client, EVIL, rounds=rounds, why="<b>run</b>")
    return client


def make_panel(client: Any, folder: Path) -> Any:
    """Return a panel on a copy of the notebook in a folder."""
    shutil.copy(PROJECT / "notebooks" / "registry.ipynb", folder)
    (folder / "pyproject.toml").touch()
    gate_file = PROJECT / "parameters" / "registry" / "gate.yaml"
    return show_panel(client, registry_settings(), gate_file=gate_file, notebook=str(folder / "registry.ipynb"))


def test_offers_the_newest_version_for_its_next_stage_and_shows_the_gates_results(client: Any, tmp_path: Path) -> None:
    panel = make_panel(client, tmp_path)
    assert (panel.version.value, panel.stage.value, panel.promote.disabled) == (2, "staging", False)
    assert "none to staging is allowed" in panel.results.value
    panel.stage.value = "production"
    assert "none to production is not allowed" in panel.results.value
    assert panel.promote.disabled
    assert "Promote is off: the gate&#x27;s rules do not allow it (allowed transitions" in panel.obstacle.value
    panel.override.value = True
    assert "Write a reason." in panel.obstacle.value
    panel.reason.value = "now"
    assert "is off" not in panel.obstacle.value and not panel.promote.disabled


def test_an_override_needs_a_written_reason(client: Any, tmp_path: Path) -> None:
    panel = make_panel(client, tmp_path)
    panel.stage.value = "production"
    panel.override.value = True
    assert panel.promote.disabled
    panel.reason.value = "   "
    assert panel.promote.disabled
    panel.reason.value = "now"
    assert not panel.promote.disabled
    panel.promote.click()
    assert "The gate is overridden: now" in panel.question.value
    assert panel.confirmation.layout.display == ""
    panel.override.value = False  # closes the confirmation
    assert panel.confirmation.layout.display == "none" and panel.promote.disabled


def test_the_button_names_the_action(client: Any, tmp_path: Path) -> None:
    panel = make_panel(client, tmp_path)
    panel.stage.value = "archived"
    assert panel.promote.description == "Archive"
    panel.rollback.click()
    assert "has nothing to roll back to" in panel.status.value


def test_text_from_the_store_is_never_markup(client: Any, tmp_path: Path) -> None:
    client.set_model_version_tag(EVIL, "1", "boostlab.image", "<i>image</i>")
    client.set_model_version_tag(
        EVIL, "2", "boostlab.transition.5-1", '{"from":"none","to":"test","why":"<u>why</u>","who":"<s>"}'
    )
    panel = make_panel(client, tmp_path)
    shown = panel.versions.value + panel.history.value + panel.results.value
    for text in ("<img", "<i>", "<u>", "<s>", "<b>"):
        assert text not in shown
    assert "&lt;i&gt;image" in shown and "&lt;u&gt;why" in shown and "&lt;b&gt;run" in shown and "sugar &lt;img" in shown
    panel.promote.click()
    assert "&lt;img" in panel.question.value and "<img" not in panel.question.value
    assert all("mathjax_ignore" in part.value for part in (panel.versions, panel.history, panel.results, panel.question))


@pytest.mark.slow
def test_a_confirmed_transition_is_a_run_and_the_panel_shows_its_failure(client: Any, tmp_path: Path) -> None:
    async def use(panel: Any, stage: str) -> None:
        panel.stage.value = stage
        panel.promote.click()
        panel.confirm.click()
        assert panel.promote.disabled
        await panel.watcher

    panel = make_panel(client, tmp_path)
    asyncio.run(use(panel, "staging"))
    assert "Done: version 2 is now in staging" in panel.status.value
    assert client.get_model_version_by_alias(EVIL, "staging").version == 2
    stale = make_panel(client, tmp_path)
    asyncio.run(use(panel, "production"))
    asyncio.run(use(stale, "production"))
    assert "Version 2 of" in stale.status.value and "was in staging and is now in production" in stale.status.value
    assert "--jp-error" in stale.status.value
    assert "★ production" in stale.versions.value


def test_an_error_of_the_store_is_shown_in_the_panel(client: Any, tmp_path: Path) -> None:
    panel = make_panel(client, tmp_path)
    (tmp_path / "mlflow.db").rename(tmp_path / "elsewhere")
    panel.refresh.click()
    assert "mlflow.db does not exist any more" in panel.status.value


def test_refresh_reads_the_gate_and_the_labs_rules_again(client: Any, tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("own: {stages: [staging]}")
    (tmp_path / "rules.py").write_text("def own(review):\n    return 'fail', 'too <b>old</b>'")
    place = str(tmp_path / "registry.ipynb")
    panel: Any = show_panel(client, registry_settings(), gate_file=tmp_path / "gate.yaml", notebook=place)
    assert panel.promote.disabled and "too &lt;b&gt;old&lt;/b&gt;" in panel.results.value
    (tmp_path / "rules.py").write_text("def own(review):\n    return 'pass', 'new'")
    panel.refresh.click()
    assert not panel.promote.disabled and "new" in panel.results.value
    (tmp_path / "rules.py").write_text("import sys\nsys.exit(0)")
    panel.refresh.click()
    assert "cannot be loaded: SystemExit: 0" in panel.status.value


def test_is_a_table_in_a_headless_run_or_without_models(
    client: Any, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(make_panel(client, tmp_path), Panel)
    monkeypatch.setenv("BOOSTLAB_JOURNAL", "somewhere")
    assert isinstance(make_panel(client, tmp_path), Table)
    monkeypatch.delenv("BOOSTLAB_JOURNAL")
    empty = open_store(find_store(store, project=tmp_path)).client
    assert "papermill notebooks/train.ipynb out.ipynb -p register_as NAME" in repr(make_panel(empty, tmp_path))
