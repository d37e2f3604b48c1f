"""A registered model as the registry has it: its versions, the version in each stage, and the history. Nothing is written.

A stage is an alias, whoever set it. Where the recorded history disagrees, another MLflow client changed the alias, and the
alias is right.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from boostlab.errors import LabError, OutdatedError, suggest
from boostlab.registry.history import ALIASES, NONE, PREFIX, Stage, StageHistory, Transition, read_transitions, replay
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import Store, as_store_error

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

T = TypeVar("T")

IMAGE_TAG = "boostlab.image"  # tag of a version: name and digest of its released image
PAGE = 100
WAITS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)  # between two readings of files that another process is writing
MAX_NAMES = 20  # that a message lists
UNITS_S = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `run_id` and `image` may be empty."""

    number: int
    stage: Stage
    created_ms: int
    run_id: str
    image: str


@dataclass(frozen=True)
class ModelView:
    """A registered model, as read at one time."""

    name: str
    versions: tuple[Version, ...]  #: the newest first
    aliases: Mapping[Stage, int]  #: the registered model's aliases that are stages
    recorded: StageHistory  #: the history in the tags; :attr:`history` adds the inferred transitions
    created_ms: int = 0

    @property
    def version_by_stage(self) -> dict[Stage, int]:
        """The version in ``test``, ``staging`` and ``production``; a version with several aliases is in the most advanced."""
        stages = {self.aliases[stage]: stage for stage in ALIASES if stage in self.aliases}
        return {stage: number for number, stage in stages.items()}

    @property
    def inferred(self) -> list[Transition]:
        """Transitions inferred from alias changes made outside boostlab; their time is now."""
        return self.recorded.infer(self.version_by_stage)

    @property
    def history(self) -> StageHistory:
        """The history up to now: the recorded and the inferred transitions."""
        return replay([*self.recorded.written, *self.inferred])

    def version(self, number: int) -> Version:
        """Return a version by its number.

        Raises
        ------
        LabError
            If the model has no such version. The message names those that it has.
        """
        for version in self.versions:
            if version.number == number:
                return version
        known = ", ".join(str(version.number) for version in self.versions[:MAX_NAMES])
        more = f" and {len(self.versions) - MAX_NAMES} older ones" if len(self.versions) > MAX_NAMES else ""
        raise LabError(f"{self.name} has no version {number}. It has: {known or 'none'}{more}.")

    def state(self, number: int, stage: Stage) -> str:
        """Return the state that a transition of this version to this stage depends on, such as ``5:staging production:3``."""
        facts = [f"{number}:{self.version(number).stage}"]
        return " ".join([*facts, f"{stage}:{self.version_by_stage.get(stage, 0)}"] if stage in ALIASES else facts)

    def replace_history(self, recorded: StageHistory, aliases: Mapping[Stage, int]) -> ModelView:
        """Return the model with another recorded history and other aliases; the versions' stages follow from them."""
        view = replace(self, aliases=aliases, recorded=recorded)
        stages = view.history.stage_by_version
        versions = tuple(replace(version, stage=stages.get(version.number, NONE)) for version in self.versions)
        return replace(view, versions=versions)


def view_model(client: MlflowClient, name: str) -> ModelView:
    """Read a registered model from the registry.

    Raises
    ------
    LabError
        If the registry has no model of that name.
    """
    from mlflow.exceptions import MlflowException

    def read() -> tuple[list[ModelVersion], RegisteredModel]:
        # A transition sets aliases before tags. So aliases that are read after the tags are not older than these.
        return search_versions(client, name), client.get_registered_model(name)

    def is_whole(result: tuple[list[ModelVersion], RegisteredModel]) -> bool:
        found, model = result
        values = [value for item in found for key, value in item.tags.items() if key.startswith(PREFIX)]
        return all([*values, *model.aliases.values()])

    with reaching(client):
        try:
            found, model = _read_whole(client, read, is_whole)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise _unknown_model(client, name) from None
    aliases = {alias: version for alias, version in model.aliases.items() if version}
    recorded = replay(each for item in found for each in read_transitions(int(item.version), item.tags))
    numbers = {int(item.version) for item in found}
    staged: dict[Stage, int] = {stage: int(aliases[stage]) for stage in ALIASES if int(aliases.get(stage, 0)) in numbers}
    versions = [
        Version(int(item.version), NONE, int(item.creation_timestamp), item.run_id or "", item.tags.get(IMAGE_TAG, ""))
        for item in sorted(found, key=lambda item: -int(item.version))
    ]
    view = ModelView(name, tuple(versions), {}, recorded, int(model.creation_timestamp))
    return view.replace_history(recorded, staged)


def check_state(view: ModelView, expected: str) -> None:
    """Raise an OutdatedError, which names the change, if a model is not in the expected state."""
    for fact in expected.split():
        left, _, right = fact.partition(":")
        if left.isdigit():
            stage = view.version(int(left)).stage
            if stage != right:
                changed = describe_last_change(view, int(left))
                raise OutdatedError(f"Version {left} of {view.name} was in {right} and is now in {stage}{changed}")
        else:
            number = next((number for stage, number in view.version_by_stage.items() if stage == left), 0)
            if str(number) != right:
                was, now = (f"version {each}" if each != "0" else "no version" for each in (right, str(number)))
                changed = describe_last_change(view, number or int(right))
                raise OutdatedError(f"Stage {left} of {view.name} had {was} and now has {now}{changed}")


def describe_last_change(view: ModelView, number: int) -> str:
    """Return the author, age and reason of a version's last transition, as the end of a sentence."""
    last = view.history.last_transition(number)
    if last is None:
        return ". Read the history, then decide again."
    why = f": {last.why!r}" if last.why else ""
    return f" ({last.who}, {describe_age(last.time_ms)} ago{why}). Read the history, then decide again."


def choose_version(client: MlflowClient, name: str, *, stage: Stage, number: int = 0) -> Version:
    """Return the version of the given number, or the version in a stage.

    Raises
    ------
    LabError
        If the model has no such version, or none in the stage.
    """
    view = view_model(client, name)
    chosen = number or view.version_by_stage.get(stage, 0)
    if not chosen:
        staged = ", ".join(f"{stage}: version {version}" for stage, version in view.version_by_stage.items())
        raise LabError(
            f"{name} has no version in {stage} ({staged or 'no stage has a version'}). Promote a version with registry.ipynb, "
            "or choose one: -p version NUMBER."
        )
    return view.version(chosen)


def list_models(client: MlflowClient) -> list[RegisteredModel]:
    """Return all registered models by name, each with its aliases and its newest version."""
    from mlflow.utils import get_results_from_paginated_fn

    with reaching(client):
        search = client.search_registered_models
        read = partial(get_results_from_paginated_fn, lambda most, token: search(max_results=most, page_token=token), PAGE)
        models = _read_whole(client, read, lambda models: all(all(model.aliases.values()) for model in models))
    return sorted(models, key=lambda model: str(model.name))


@contextmanager
def reaching(client: MlflowClient) -> Iterator[None]:
    """Raise a StoreError if the store is lost or does not answer."""
    store = Store(client.tracking_uri)
    check_reachable(store)
    with as_store_error(store):
        yield


def _read_whole(client: MlflowClient, read: Callable[[], T], is_whole: Callable[[T], bool]) -> T:
    """Return what `read` returns; from plain files, read again while another process writes them.

    MLflow writes the files in place, without a lock: a reader may find one empty, or gone after it was listed.
    """
    for wait_s in WAITS_S if Store(client.tracking_uri).scheme == "file" else ():
        with suppress(OSError, TypeError, ValueError):  # a file is gone; MLflow finds no content in it
            result = read()
            if is_whole(result):
                return result
        time.sleep(wait_s)
    return read()


def read_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a version's run, or None if the version has none or the run was deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def describe_age(time_ms: int) -> str:
    """Return the time since a timestamp, in its largest unit.

    Examples
    --------
    >>> describe_age(int(time.time() * 1000) - 7_300_000)
    '2 hours'
    """
    seconds = max(0, int(time.time() - time_ms / 1000))
    unit, size = next(((unit, size) for unit, size in UNITS_S.items() if seconds >= size), ("second", 1))
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def search_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model."""
    from mlflow.utils import get_results_from_paginated_fn

    if "'" in name and '"' in name:
        raise LabError(f"The model {name!r} has both kinds of quotes in its name, which MLflow cannot search for. Rename it.")
    quote = '"' if "'" in name else "'"
    search = partial(client.search_model_versions, f"name = {quote}{name}{quote}")
    return list(get_results_from_paginated_fn(lambda most, token: search(max_results=most, page_token=token), PAGE))


def _unknown_model(client: MlflowClient, name: str) -> LabError:
    names = [str(model.name) for model in list_models(client)]
    if not names:
        command = f"papermill train.ipynb out.ipynb -p register_as {shlex.quote(name)}"
        return LabError(f"No model {name!r}: the registry is empty. Register one first: {command}")
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return LabError(f"The registry has no model {name!r}.{suggest(name, names)} It has: {', '.join(names[:MAX_NAMES])}{more}.")
