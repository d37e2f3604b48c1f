"""The panel in a real JupyterLab, verified through a plain MLflow client."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.accessibility import check_everywhere
from tests.support.paths import PROJECT
from tests.support.registry import STRONG, WEAK, add_version
from tests.support.waiting import wait_until

from boostlab.tracking.store import find_store, open_store

pytestmark = pytest.mark.slow

Look = Callable[..., Any]
PANEL_CELLS = (1, 3, 5, 7)  # parameters, run, libraries, panel
STEP = re.compile("Running registry.ipynb: (Registry|Run|Panel|Versions before|Gate|Transition|History|Result)")
EVIL = 'because <img src=x onerror="window.hurt=1"> $\\href{javascript:alert(1)}{x}$ **bold**'


@pytest.fixture
def _versions(store: str, tmp_path: Path) -> None:
    """Register a weak version and a strong one."""
    client = open_store(find_store(store, project=tmp_path)).client
    for rounds in (WEAK, STRONG):
        add_version(client, "sugar", rounds=rounds)


@pytest.fixture
def panel(lab: Any, _versions: None) -> Any:
    """Return a JupyterLab page whose registry notebook shows the panel."""
    shutil.copy(PROJECT / "notebooks" / "registry.ipynb", lab.folder)
    (lab.folder / "pyproject.toml").write_text("")
    page = lab.open("registry.ipynb")
    open_panel(page)
    return page


def open_panel(page: Any) -> None:
    for position in PANEL_CELLS:
        page.page.evaluate("n => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = n; }", position)
        page.command("notebook:run-cell")
    page.page.wait_for_selector(".boostlab-panel")


def choose(page: Any, label: str, text: str) -> None:
    box = page.page.locator(".boostlab-panel .widget-dropdown", has_text=label).locator("select")
    box.select_option(label=text)


def press(page: Any, name: str) -> None:
    page.page.locator(".boostlab-panel").get_by_role("button", name=name, exact=True).click()


def promote(page: Any, version: str, stage: str) -> None:
    choose(page, "Version", version)
    choose(page, "Stage", stage)
    press(page, "Promote")
    press(page, "Confirm")


def wait_for_text(page: Any, text: str | re.Pattern[str]) -> None:
    page.page.locator(".boostlab-panel").get_by_text(text).first.wait_for()


def transitions(client: Any, version: int) -> list[dict[str, Any]]:
    tags = client.get_model_version("sugar", str(version)).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith("boostlab.transition.")]


def test_promotes_through_staging_into_production(panel: Any, look: Look) -> None:
    promote(panel, "2 · none", "staging")
    wait_for_text(panel, "Done: version 2 is now in staging")
    promote(panel, "2 · staging", "production")
    wait_for_text(panel, "Done: version 2 is now in production")
    wait_for_text(panel, "★ production")
    assert look().get_model_version_by_alias("sugar", "production").version == 2
    assert set(look().get_registered_model("sugar").aliases) == {"production"}
    first, second = transitions(look(), 2)
    assert (first["from"], first["to"], second["from"], second["to"]) == ("none", "staging", "staging", "production")
    run = look().get_run(second["run_id"])
    assert run.info.status == "FINISHED" and run.data.params["expected_state"] == "2:staging production:0"


def test_is_blocked_by_the_gate_until_a_reason_overrides_it(panel: Any, look: Look) -> None:
    choose(panel, "Version", "1 · none")
    choose(panel, "Stage", "production")
    wait_for_text(panel, "none to production is not allowed")
    button = panel.page.locator(".boostlab-panel").get_by_role("button", name="Promote", exact=True)
    wait_until(button.is_disabled)
    wait_for_text(panel, "Promote is off: the gate's rules do not allow it (allowed transitions")
    panel.page.locator(".boostlab-panel").get_by_role("checkbox").check()
    wait_for_text(panel, "Write a reason.")
    wait_until(button.is_disabled)
    reason = panel.page.locator(".boostlab-panel").get_by_role("textbox", name="Reason")
    reason.fill(EVIL)
    wait_until(button.is_enabled)
    reason.press("Tab")  # from here on by keyboard alone: over the checkbox to the button
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    wait_for_text(panel, "The gate is overridden")
    panel.page.keyboard.press("Enter")  # Confirm has the focus
    wait_for_text(panel, "Done: version 1 is now in production")
    assert look().get_registered_model("sugar").aliases == {"production": 1}
    (transition,) = transitions(look(), 1)
    assert transition["why"] == EVIL
    assert transition["gate"]["verdict"] == "overridden" and transition["gate"]["rules"]["allowed_transitions"] == "fail"
    history = panel.page.locator(".boostlab-panel table", has_text="history")
    wait_until(lambda: EVIL in history.inner_text())
    gate = history.locator("details")
    assert gate.inner_text() == "overridden"
    gate.locator("summary").press("Enter")
    wait_until(lambda: "none to production is not allowed" in gate.inner_text())
    check_everywhere(panel, ".boostlab-panel")
    assert history.locator("img, mjx-container, .MathJax").count() == 0
    assert panel.page.evaluate("window.hurt") is None


def test_rolls_back_to_the_previous_version(panel: Any, look: Look) -> None:
    for version in ("1", "2"):
        promote(panel, f"{version} · none", "staging")
        wait_for_text(panel, f"Done: version {version} is now in staging")
        promote(panel, f"{version} · staging", "production")
        wait_for_text(panel, f"Done: version {version} is now in production")
    press(panel, "Roll back production")
    wait_for_text(panel, "a rollback to a version that was in production before")
    wait_for_text(panel, "Change version 1 of sugar from archived to production?")
    check_everywhere(panel, ".boostlab-panel")
    press(panel, "Confirm")
    wait_for_text(panel, STEP)
    wait_for_text(panel, "Done: version 1 is now in production")
    assert look().get_model_version_by_alias("sugar", "production").version == 1
    assert [item["action"] for item in transitions(look(), 1)] == ["promote", "promote", "rollback"]


def test_refuses_a_transition_if_the_state_has_changed(panel: Any, look: Look) -> None:
    choose(panel, "Version", "2 · none")
    choose(panel, "Stage", "staging")
    press(panel, "Promote")
    look().set_registered_model_alias("sugar", "staging", "1")  # another user, with another MLflow client
    press(panel, "Confirm")
    wait_for_text(panel, "Stage staging of sugar had no version and now has version 1")
    wait_for_text(panel, "another MLflow client changed the alias")
    assert look().get_registered_model("sugar").aliases == {"staging": 1}
    assert transitions(look(), 2) == []
    choose(panel, "Version", "2 · none")
    press(panel, "Promote")
    wait_for_text(panel, "This archives version 1, which is there now.")
    press(panel, "Confirm")
    wait_for_text(panel, "Done: version 2 is now in staging")
    assert look().get_registered_model("sugar").aliases == {"staging": 2}
    assert [item["action"] for item in transitions(look(), 1)] == ["outside"]
