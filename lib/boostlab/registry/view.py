"""A registered model as it stands: its versions, who is in which stage, and the history; read, never written.

A stage is an alias, whoever set it. Where the history tells something else, another MLflow client moved the alias, and
the aliases are right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError, suggest
from boostlab.registry.history import Chronicle, Transition, new_transition, read_transitions, tell
from boostlab.registry.stages import ALIASES, NONE, Stage
from boostlab.tracking.store import Store, as_store_error, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import RegisteredModel

PAGE = 100
MOST_NAMES = 20  # that a message lists
OUTSIDE = "another MLflow client changed the alias"
UNITS_S = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `tags` are those that are no transitions."""

    number: int
    stage: Stage
    created_ms: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def image(self) -> str:
        """The image that was built of it, or an empty text."""
        return self.tags.get("boostlab.image", "")


@dataclass(frozen=True)
class ModelView:
    """A registered model at one moment.

    Attributes
    ----------
    name : str
    versions : tuple of Version
        The newest first.
    aliases : mapping of stage to version
        The registered model's aliases, of those that are stages.
    chronicle : Chronicle
        What the history's tags amount to; :attr:`current` completes it.
    """

    name: str
    versions: tuple[Version, ...]
    aliases: Mapping[Stage, int]
    chronicle: Chronicle

    @property
    def holders(self) -> Mapping[Stage, int]:
        """Which version is in ``test``, ``staging`` and ``production``; one with several aliases, in the most advanced."""
        return find_holders(self.aliases)

    @property
    def outside(self) -> list[Transition]:
        """What another MLflow client did to the aliases since the last transition, as transitions that are seen now."""
        return find_outside(self.chronicle, self.holders)

    @property
    def current(self) -> Chronicle:
        """The history up to now."""
        written = [event for event in self.chronicle.events if event.action != "displaced"]
        return tell([*written, *self.outside])

    def version(self, number: int) -> Version:
        """Return a version by its number, or raise a LabError that names those there are."""
        for version in self.versions:
            if version.number == number:
                return version
        known = [str(version.number) for version in self.versions]
        raise LabError(
            f"{self.name} has no version {number}. It has: {', '.join(known[:MOST_NAMES]) or 'none'}"
            f"{f' and {len(known) - MOST_NAMES} older ones' if len(known) > MOST_NAMES else ''}."
        )

    def seen(self, number: int, stage: Stage) -> str:
        """Return what a move of this version to this stage depends on, such as ``5:staging production:3``."""
        facts = [f"{number}:{self.version(number).stage}"]
        return " ".join([*facts, f"{stage}:{self.holders.get(stage, 0)}"] if stage in ALIASES else facts)


def view_model(client: MlflowClient, name: str) -> ModelView:
    """Return a registered model as it stands.

    Raises
    ------
    LabError
        If the registry has no model of that name.
    StoreError
        If the store is lost.
    """
    from mlflow.exceptions import MlflowException

    with _reaching(client):
        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise _unknown_model(client, name) from None
        found = list(_search_versions(client, name))
    chronicle = tell(each for item in found for each in read_transitions(int(item.version), item.tags))
    numbers = {int(item.version) for item in found}
    held: dict[Stage, int] = {stage: int(aliases[stage]) for stage in ALIASES if int(aliases.get(stage, 0)) in numbers}
    view = ModelView(name, (), held, chronicle)
    stages = view.current.stages
    versions = [_read_version(item, stages.get(int(item.version), NONE)) for item in found]
    return replace(view, versions=tuple(sorted(versions, key=lambda version: -version.number)))


def choose_version(client: MlflowClient, name: str, *, stage: Stage, number: int = 0) -> Version:
    """Return the version that is named by its number, or the one that is in a stage.

    Raises
    ------
    LabError
        If there is none.
    """
    view = view_model(client, name)
    chosen = number or view.holders.get(stage, 0)
    if not chosen:
        held = ", ".join(f"{stage}: version {version}" for stage, version in view.holders.items()) or "no stage has a version"
        raise LabError(
            f"{name} has no version in {stage} ({held}). Promote one with registry.ipynb, or name it as -p version NUMBER."
        )
    return view.version(chosen)


def find_holders(aliases: Mapping[Stage, int]) -> dict[Stage, int]:
    """Return who is in which stage by a model's aliases: a version is in one, the most advanced of those that name it."""
    stages = {aliases[stage]: stage for stage in ALIASES if stage in aliases}
    return {stage: number for number, stage in stages.items()}


def list_models(client: MlflowClient) -> list[RegisteredModel]:
    """Return all registered models by name, each with its aliases and its newest version."""
    models: list[RegisteredModel] = []
    token = None
    while True:
        with _reaching(client):
            page = client.search_registered_models(max_results=PAGE, page_token=token)
        models += page
        token = page.token
        if not token:
            return sorted(models, key=lambda model: str(model.name))


def find_outside(chronicle: Chronicle, holders: Mapping[Stage, int]) -> list[Transition]:
    """Return the transitions that explain why the stages are not as the history has them: others set aliases."""
    moved: dict[int, Stage] = {number: NONE for stage, number in chronicle.holders.items() if stage not in holders}
    moved |= {number: stage for stage, number in holders.items() if chronicle.holders.get(stage) != number}
    found: list[Transition] = []
    for number, stage in moved.items():
        events = [*chronicle.events, *found]
        facts = {"from_stage": chronicle.stages.get(number, NONE), "to_stage": stage, "who": "unknown", "why": OUTSIDE}
        found.append(new_transition(events, version=number, action="outside", **facts))
    return found


def read_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a version's run, or None where it is gone or there was none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def describe_age(time_ms: int) -> str:
    """Return how long ago a moment was, in its largest unit.

    Examples
    --------
    >>> describe_age(int(time.time() * 1000) - 7_300_000)
    '2 hours'
    """
    seconds = max(0, int(time.time() - time_ms / 1000))
    unit, size = next(((unit, size) for unit, size in UNITS_S.items() if seconds >= size), ("second", 1))
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _read_version(item: Any, stage: Stage) -> Version:
    number = int(item.version)
    return Version(
        number=number,
        stage=stage,
        created_ms=int(item.creation_timestamp),
        run_id=item.run_id or "",
        tags={key: value for key, value in item.tags.items() if not read_transitions(number, {key: value})},
    )


@contextmanager
def _reaching(client: MlflowClient) -> Iterator[None]:
    """Turn a store that is lost, or answers nothing, into a StoreError."""
    store = Store(client.tracking_uri)
    check_reachable(store)
    with as_store_error(store):
        yield


def _search_versions(client: MlflowClient, name: str) -> Iterator[Any]:
    if "'" in name and '"' in name:
        raise LabError(f"The model {name!r} has both kinds of quotes in its name, which MLflow cannot search for. Rename it.")
    quote = '"' if "'" in name else "'"
    token = None
    while True:
        page = client.search_model_versions(f"name = {quote}{name}{quote}", max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _unknown_model(client: MlflowClient, name: str) -> LabError:
    names = [str(model.name) for model in list_models(client)]
    if not names:
        return LabError(
            f"No model {name!r}: the registry is empty. Register one first: papermill train.ipynb out.ipynb -p register_as {name}"
        )
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return LabError(f"The registry has no model {name!r}.{suggest(name, names)} It has: {', '.join(names[:MOST_NAMES])}{more}.")
