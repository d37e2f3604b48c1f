"""The rows on which two runs' models are compared: rows that neither model has learned from.

Two runs have the same rows if their tables agree in the target and, if they share other columns, in one of these at least. The
features, their order and the file format do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from boostlab.comparison.paired import Pair
from boostlab.comparison.search import read_folding
from boostlab.errors import ColumnsError, LabError
from boostlab.evaluation.holdout import Holdout, count_wrong_answers, fetch_holdout, fetch_out_of_fold
from boostlab.evaluation.training_rows import TrainingRows, fetch_training_rows
from boostlab.models.answers import choose_classes
from boostlab.models.contract import Contract, Task
from boostlab.models.packaging import fetch_predictor

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boostlab.models.predictor import Predictor

Array = np.ndarray[Any, Any]
Role = Literal["champion", "challenger"]


def pair_runs(client: MlflowClient, *, champion: str, challenger: str) -> Pair:
    """Return the predictions of two runs, given by their ids, of the same rows.

    These are the rows of the folds if both runs made a cross-validation of the same rows in the same way: models answered that do
    not know them, and that know equally much.
    Else, if the runs have the same rows, these are the test rows of both. Else the champion predicts the challenger's test rows.
    If these lack a column that the champion needs, the challenger predicts the champion's test rows. Rows that the predicting
    model has learned from are left out.

    Raises
    ------
    LabError
        If a run has no stored test rows, or recorded other answers than its model's; if the targets differ, no row is left, or
        neither model can read the rows of the other.
    """
    own, other = fetch_out_of_fold(client, challenger), fetch_out_of_fold(client, champion)
    if own and other and have_same_rows(other, own) and _cut_alike(client, champion, challenger):
        check_same_target(other, own)
        return replace(pair_rows(other, own, part="the cross-validation"), has_valid_rows=True)
    new = fetch_holdout(client, challenger)
    _check_recorded(client, challenger, new, role="challenger")
    try:
        old = fetch_holdout(client, champion)
    except LabError:  # an old run without stored rows: its model can still predict
        old = None
    if old is not None:
        _check_recorded(client, champion, old, role="champion")
        check_same_target(old, new)
        if have_same_rows(old, new):
            return pair_rows(old, new)
    model, seen = fetch_predictor(client, champion), fetch_training_rows(client, champion)
    try:
        return pair_predictor(model, new, seen=seen, role="champion")
    except ColumnsError:
        if old is None:
            raise
    model, seen = fetch_predictor(client, challenger), fetch_training_rows(client, challenger)
    return pair_predictor(model, old, seen=seen, role="challenger")


def _cut_alike(client: MlflowClient, champion: str, challenger: str) -> bool:
    """Tell whether the models of both runs' folds know equally much."""
    return read_folding(client.get_run(champion)) == read_folding(client.get_run(challenger))


def _check_recorded(client: MlflowClient, run_id: str, rows: Holdout, *, role: Role) -> None:
    """Refuse recorded answers that are not those of the run's model; a model that is gone cannot be asked."""
    if not rows.is_of_model:
        return
    try:
        model = fetch_predictor(client, run_id)
    except LabError:
        return
    if wrong := count_wrong_answers(rows, model):
        raise LabError(
            f"In {wrong} of {len(rows)} test rows the answer that the {role}'s run recorded is not the one of its model, so it "
            "is not known what to compare. Train it again."
        )


def have_same_rows(old: Holdout, new: Holdout) -> bool:
    """Tell whether the positions of two holdouts are positions in tables with the same rows."""
    if old.digest == new.digest:
        return True
    target = str(new.target.name)
    equal = {name for name, digest in new.columns.items() if old.columns.get(name) == digest}
    return target in equal and (len(equal) > 1 or len(old.columns.keys() & new.columns.keys()) == 1)


def pair_rows(old: Holdout, new: Holdout, *, part: str = "the test part") -> Pair:
    """Return two models' predictions of the rows that both held out of the same rows; `part` names them.

    Raises
    ------
    LabError
        If both held out no row.
    """
    _, left, right = np.intersect1d(old.positions, new.positions, assume_unique=True, return_indices=True)
    if not len(left):
        raise LabError(
            "Both runs were trained on the same rows, but no row is a test row of both. Train one of them again with the "
            "split of the other."
        )
    same = len(left) == len(old) == len(new)
    basis = f"The rows are {_all_or_some(new)} of {part}, which" if same else f"The rows are {len(left)} that"
    return _pair(new, right, _take(old, left, new.labels), _take(new, right, new.labels), f"{basis} both runs held out.")


def pair_predictor(model: Predictor, rows: Holdout, *, seen: TrainingRows | None, role: Role) -> Pair:
    """Return the predictions of one run's model for the test rows of the other run, next to the other's own.

    Parameters
    ----------
    seen : TrainingRows, optional
        The rows that the model has learned from, which are left out; None if they are not known.
    role : str
        The role of the model that predicts.

    Raises
    ------
    ColumnsError
        If the rows lack a column that the model needs.
    LabError
        If the model predicts another target, cannot read the rows, or has learned from all of them.
    """
    other = "challenger" if role == "champion" else "champion"
    contract = model.contract
    if _answer(contract) != _answer(rows):
        raise LabError(
            f"The {role}'s model does {_describe(contract)}, the {other}'s {_describe(rows)}. "
            "Only models of the same target can be compared."
        )
    unseen = None if seen is None else seen.find_unseen(rows)
    kept = np.arange(len(rows)) if unseen is None else np.flatnonzero(unseen)
    if not len(kept):
        raise LabError(
            f"The {role} has learned from all {len(rows)} test rows of the {other}. Compare on rows that neither knows."
        )
    frame = rows.frame.iloc[kept]
    missing = [item.name for item in contract.features if not item.optional and item.name not in frame.columns]
    if missing:
        raise ColumnsError(
            f"The {role}'s model cannot read the {other}'s test rows, which lack {', '.join(missing)}. If both runs are trained "
            "on the same rows, with the same split, they can be compared without these columns."
        )
    try:
        answers = model.answers(frame)
    except ValueError as error:
        raise LabError(f"The {role}'s model cannot read the {other}'s test rows: {error}") from None
    chosen = choose_classes(answers, contract.threshold) if contract.labels else None
    predicted = _order(answers, chosen, contract.labels, rows.labels)
    basis = f"The rows are {_all_or_some(rows)} of the {other}'s test part, predicted again by the {role}'s model."
    if len(kept) < len(rows):
        some = "was trained on them" if seen and seen.rows == len(seen.hashes) else "was trained on them, or may have been"
        basis = (
            f"The rows are {len(kept)} of the {other}'s test part, predicted again by the {role}'s model. "
            f"{len(rows) - len(kept)} more are left out: the {role} {some}."
        )
    caution = f"It is not known whether the {role} was trained on some of these rows, which would favour it."
    own = _take(rows, kept, rows.labels)
    old, new = (predicted, own) if role == "champion" else (own, predicted)
    return _pair(rows, kept, old, new, basis, caution=caution if unseen is None else "")


def _take(rows: Holdout, kept: Array, labels: Sequence[Any]) -> tuple[Array, Array | None]:
    """Return the answers to some rows, and the chosen classes, in the order of labels."""
    chosen = rows.chosen
    return _order(rows.answers[kept], None if chosen is None else chosen[kept], rows.labels, labels)


def _order(answers: Array, chosen: Array | None, given: Sequence[Any], labels: Sequence[Any]) -> tuple[Array, Array | None]:
    """Return answers and chosen classes, both in the order of `given`, in the order of `labels`."""
    if chosen is None:
        return answers, None
    places = [given.index(label) for label in labels]
    return answers[:, places], np.argsort(places)[chosen]


def _pair(
    rows: Holdout,
    kept: Array,
    champion: tuple[Array, Array | None],
    challenger: tuple[Array, Array | None],
    basis: str,
    *,
    caution: str = "",
) -> Pair:
    weight, groups = (None if values is None else values[kept] for values in (rows.weight, rows.groups))
    (old, first), (new, second) = champion, challenger
    predicted = None if first is None or second is None else (first, second)
    return Pair(rows.true[kept], old, new, rows.task, rows.labels, basis, caution, weight, groups, predicted)


def check_same_target(old: Holdout, new: Holdout) -> None:
    """Raise a LabError if two runs predict different targets."""
    if _answer(old) != _answer(new) or old.target.name != new.target.name:
        raise LabError(
            f"The champion does {_describe(old)} of {str(old.target.name)!r}, the challenger "
            f"{_describe(new)} of {str(new.target.name)!r}. Only models of the same target can be compared."
        )


def _answer(model: Holdout | Contract) -> tuple[Task, set[Any], tuple[float, ...]]:
    return model.task, set(model.labels), model.quantiles


def _describe(model: Holdout | Contract) -> str:
    """Return what a model answers, in words."""
    if model.quantiles:
        return f"{model.task} with the quantiles {', '.join(map(str, model.quantiles))}"
    labels = ", ".join(map(str, model.labels[:5])) + (" …" if len(model.labels) > 5 else "")
    return f"{model.task} into {labels}" if labels else model.task


def _all_or_some(rows: Holdout) -> str:
    return f"a sample of the {rows.test_rows}" if rows.test_rows > len(rows) else f"all {len(rows)}"
