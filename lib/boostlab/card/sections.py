"""What a model card holds: one function for each section, which reads a run's evidence and nothing else.

A function returns None if the section does not apply to the run. No sentence here states a figure by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from boostlab.card.section import Section
from boostlab.display.numbers import format_number
from boostlab.display.tables import Table
from boostlab.tracking.evidence import Evidence
from boostlab.tracking.facts import ENVIRONMENT_TAG
from boostlab.training.settings import Hyperparameters

MOST_LISTED = 30  # columns, reasons or findings
MOST_SLICES = 8
MOST_IMPORTANT = 10
SHOWN_ELSEWHERE = ("objective", "quantiles", "metric", "nthread", "device")
HYPERPARAMETERS = [name for name in (*Hyperparameters.model_fields, "class_weight", "split_seed") if name not in SHOWN_ELSEWHERE]
DEFAULT_CALL = """import mlflow

model = mlflow.pyfunc.load_model({address!r}){alias}
model.predict(rows)  # a DataFrame with the columns above{more}"""


def describe_purpose(evidence: Evidence) -> Section:
    """Return what the model is for, as the run's user has stated it."""
    purpose = evidence.params.get("purpose", "").strip()
    lacks = "" if purpose else "what the model is for. State it in a sentence: -p purpose '…'"
    return Section("Purpose", (purpose,) if purpose else (), lacks=lacks)


def describe_data(evidence: Evidence) -> Section:
    """Return which table the model comes from, and how its rows were divided."""
    data, params = evidence.dataset, evidence.params
    rows = json.loads(evidence.tags.get("boostlab.rows", "{}"))
    facts = {
        "table": data.get("name", ""),
        "source": _read_source(data),
        "digest": data.get("digest", ""),
        "target": params.get("target", ""),
        "condition on its rows": params.get("where", ""),
        "rows": _count(evidence.metrics.get("rows")),
        "rows without a target, dropped": _count(evidence.metrics.get("rows_without_target")),
        "split": _describe_split(params),
        "rows to learn from, to stop by, to test": ", ".join(f"{count:,}" for count in rows.values()),
        "rows in no part": ", ".join(
            f"{count:,} {reason}"
            for reason, count in json.loads(evidence.tags.get("boostlab.rows_left_out", "{}")).items()
            if count
        ),
        "row weights": params.get("sample_weight", ""),
    }
    left_out = [each for each in evidence.read_json("columns.json") or [] if each["left_out"]]  # a tag holds only some of many
    reasons = [f"Left out: {each['name']}: {each['left_out']}" for each in left_out[:MOST_LISTED]]
    more = [f"{len(left_out) - MOST_LISTED} more columns are left out."] if len(left_out) > MOST_LISTED else []
    lacks = "" if data else "the data set. Call run.log_dataset(table.describe()) in the notebook."
    return Section("Data", (*reasons, *more), _list_facts(facts), lacks=lacks)


def describe_training(evidence: Evidence) -> Section:
    """Return what was trained: task, objective, metric and hyperparameters."""
    tags, params = evidence.tags, evidence.params
    facts = {
        "task": tags.get("boostlab.task", ""),
        "objective": tags.get("boostlab.objective", ""),
        "metric": tags.get("boostlab.metric", ""),
        "quantiles": params.get("quantiles", "").strip("[]"),
        "hyperparameters": ", ".join(
            f"{name} {params[name]}" for name in HYPERPARAMETERS if params.get(name) not in (None, "{}")
        ),
        "final model": params.get("final_model", ""),
    }
    kept = "boostlab.training" if params.get("final_model", "best") == "best" else "boostlab.final_model"
    sentences = [tags.get(name, "") for name in ("boostlab.task_choice", kept)]
    return Section("Training", tuple(filter(None, sentences)), _list_facts(facts), figures=("plots/learning_curve_size.png",))


def tabulate_test(evidence: Evidence) -> Section:
    """Return the metrics on the test rows with their intervals, next to those of the constant predictor."""
    metrics = evidence.metrics
    main = evidence.tags.get("boostlab.metric", "")
    names = [name.removeprefix("test_") for name in metrics if name.startswith("test_") and not name.endswith(("_low", "_high"))]
    names.sort(key=lambda name: (name != main, name))  # that of the training first; stores return them in orders of their own
    rows = [
        [name, metrics[f"test_{name}"], _show_interval(metrics, f"test_{name}"), metrics.get(f"baseline_{name}")]
        for name in names
    ]
    lacks = "" if names else "metrics of the test rows. Call run.log_metrics(evaluation.metrics()) in the notebook."
    if names and not any(f"test_{name}_low" in metrics for name in names):
        lacks = "intervals of the metrics: the test rows are too few, or all agree. Keep more: -p test_size 0.3"
    table = Table("Test rows", ["metric", "model", "95 % interval", "constant predictor"], rows)
    return Section(
        "Test rows", (), table if rows else None, figures=("plots/test.png", "plots/errors_over_time.png"), lacks=lacks
    )


def tabulate_folds(evidence: Evidence) -> Section | None:
    """Return the metrics of the cross-validation."""
    metrics = evidence.metrics
    main = f"cv_{evidence.tags.get('boostlab.metric', '')}"
    names = [name for name in metrics if name.startswith("cv_") and f"{name}_std" in metrics]
    names.sort(key=lambda name: (name != main, name))
    if not names:
        return None
    rows = [[name.removeprefix("cv_"), metrics[name], metrics[f"{name}_std"], _show_interval(metrics, name)] for name in names]
    folds, repeats = evidence.params.get("folds", ""), evidence.params.get("repeats", "1")
    text = f"{folds} folds." if repeats == "1" else f"{folds} folds, drawn {repeats} times."
    table = Table("Folds", ["metric", "mean", "standard deviation", "95 % interval"], rows)
    return Section("Cross-validation", (text,), table, figures=("plots/folds.png",))


def describe_comparison(evidence: Evidence) -> Section | None:
    """Return how the model stands among others, and against the version in production."""
    content = evidence.read("evaluation/standing.txt")
    if not content:
        return None
    date = _read_environment(evidence).get("date", "")
    return Section("Comparison", (*([f"As of {date}:"] if date else []), *content.decode().split("\n\n")))


def describe_decision(evidence: Evidence) -> Section | None:
    """Return what a classifier does with probabilities: positive class, calibration, threshold and costs."""
    if evidence.tags.get("boostlab.task") != "classification":
        return None
    params, metrics = evidence.params, evidence.metrics
    usual = "Probabilities are the booster's own. The most probable class is the answer."
    text = [evidence.tags.get("boostlab.decision", usual)]
    if params.get("threshold") == "cost":
        costs = params.get("cost_false_positive"), params.get("cost_false_negative")
        text.append(f"A false positive costs {costs[0]}, a false negative {costs[1]}.")
    lacks = "the calibration error. Train again with this version of boostlab."
    if "test_calibration_error" in metrics:
        error, interval = format_number(metrics["test_calibration_error"]), _show_interval(metrics, "test_calibration_error")
        text.append(f"The expected calibration error on the test rows is {error}, 95 % interval {interval}.")
        lacks = ""
    figures = ("plots/threshold.png",) if params.get("final_model", "best") == "best" else ()  # else that of another model
    return Section("Decision and calibration", tuple(text), figures=figures, lacks=lacks)


def tabulate_importance(evidence: Evidence) -> Section:
    """Return the columns that matter most to the model."""
    found: dict[str, Any] = evidence.read_json("importance.json") or {}
    columns = list(found.get("columns", {}).items())[:MOST_IMPORTANT]
    rows = [[name, *(values.get(measure) for measure in ("contribution", "permutation", "gain"))] for name, values in columns]
    text = (
        f"Contribution: how far a column moves a prediction on average ({found.get('unit') or 'unit of the margin'}). "
        "Permutation: how much worse the metric is if the column's values are shuffled. Gain: of its splits in training. "
        "None shows causes.",
    )
    lacks = "" if columns else "the importance of the columns. Call run.log_text(explanation.to_json(), 'importance.json')."
    table = Table("Columns", ["column", "contribution", "permutation", "gain"], rows) if rows else None
    return Section("Columns", text if rows else (), table, figures=("plots/feature_importance.png",), lacks=lacks)


def tabulate_slices(evidence: Evidence) -> Section:
    """Return the parts of the test rows with a larger error than elsewhere."""
    found = evidence.read_json("evaluation/slices.json")
    if found is None:
        return Section("Slices", lacks="slices. Call run.log_text(slices.to_json(), 'evaluation/slices.json') in the notebook.")
    slices = found["slices"]
    worse = [one for one in slices if one["is_worse"]]
    count = "none has" if not worse else "1 has" if len(worse) == 1 else f"{len(worse)} have"
    text = f"Of {len(slices)} parts of the test rows, {count} a larger error than the other rows, more than chance allows."
    text = text if slices else "The test rows are too few to tell whether the error is larger on some of them."
    rows = [
        [one["name"], one["rows"], one["value"], f"{format_number(one['low'])} to {format_number(one['high'])}", one["rest"]]
        for one in worse[:MOST_SLICES]
    ]
    table = Table("Slices", ["test rows", "number", found["metric"], "95 % interval", "elsewhere"], rows) if rows else None
    return Section("Slices", (text,), table)


def list_limits(evidence: Evidence) -> Section:
    """Return what the run found doubtful, and for which rows its figures hold."""
    params = evidence.params
    findings: list[str] = evidence.read_json("findings.json") or []
    condition = f", all of which meet {params['where']}" if params.get("where") else ""
    text = [f"The figures hold for rows like the test rows: {_describe_test(params)}{condition}.", *findings[:MOST_LISTED]]
    if params.get("final_model", "best") != "best":
        but = f" but those of {params['test_dataset']}" if params.get("test_dataset") else ""
        text.append(
            "The test rows, the slices and the importance of columns are of the model of the training. The run keeps "
            f"another one, which has learned from all rows{but}: the cross-validation judges it."
        )
    return Section("Limits", tuple(text))


def list_environment(evidence: Evidence) -> Section:
    """Return what the model was made with."""
    facts = _read_environment(evidence)
    lacks = "" if facts else "the versions of Python and of the packages. Train again with this version of boostlab."
    facts |= {"run": f"{evidence.run_name} ({evidence.run_id})", "by": evidence.tags.get("mlflow.user", "")}
    facts |= {"git commit": evidence.tags.get("mlflow.source.git.commit", ""), "device": evidence.params.get("device", "")}
    return Section("Environment", (), _list_facts(facts), lacks=lacks)


def show_call(evidence: Evidence) -> Section:
    """Return how to call the model: its columns, and a few lines of Python."""
    profiles = [each for each in evidence.read_json("columns.json") or [] if each["feature"]]
    rows = [[each["name"], each["type"], f"{each['missing']:.1%}"] for each in profiles[:MOST_LISTED]]
    more = len(profiles) - MOST_LISTED
    name = evidence.params.get("register_as", "")
    alias = f"  # this model; {f'models:/{name}@production'!r}: the one in production" if name else ""
    calls = "\nmodel.predict(rows, params={'contributions': True})  # with the contribution of each column"
    if evidence.tags.get("boostlab.task") == "classification":
        calls = f"\nmodel.predict(rows, params={{'probabilities': True}}){calls}"
    table = Table("Columns of a row", ["column", "type", "missing in training"], rows) if rows else None
    lacks = "" if rows else "the columns of a row. Call run.log_text(columns.to_json(), 'columns.json') in the notebook."
    text = (f"{more} more columns are in columns.json of the run.",) if more > 0 else ()
    code = DEFAULT_CALL.format(address=f"runs:/{evidence.run_id}/model", alias=alias, more=calls)
    return Section("How to call it", text, table, code, lacks=lacks)


def _read_environment(evidence: Evidence) -> dict[str, str]:
    return {name: str(value) for name, value in json.loads(evidence.tags.get(ENVIRONMENT_TAG, "{}")).items()}


def _list_facts(facts: Mapping[str, str]) -> Table:
    """Return the facts that are known as a table of two columns."""
    return Table("Facts", ["", ""], [[name, value] for name, value in facts.items() if value])


def _read_source(data: Mapping[str, str]) -> str:
    source = json.loads(data.get("source") or "{}")
    return str(source.get("uri") or source.get("tags", {}).get("mlflow.source.name", ""))


def _describe_split(params: Mapping[str, str]) -> str:
    parts = ["by time" if params.get("split") == "time" else "at random"]
    parts += [f"gap {params['time_gap']}"] if params.get("time_gap") else []
    parts += [f"by group {params['group']}"] if params.get("group") else []
    parts += [f"test rows from {params['test_dataset']}"] if params.get("test_dataset") else []
    return ", ".join(parts)


def _describe_test(params: Mapping[str, str]) -> str:
    if params.get("test_dataset"):
        return f"those of {params['test_dataset']}"
    drawn = "the latest ones" if params.get("split") == "time" else "drawn at random from the same table"
    return f"{drawn}, of groups that are in no other part" if params.get("group") else drawn


def _show_interval(metrics: Mapping[str, float], name: str) -> str:
    ends = [metrics[f"{name}_{end}"] for end in ("low", "high") if f"{name}_{end}" in metrics]
    return " to ".join(map(format_number, ends)) if len(ends) == 2 else ""


def _count(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}"


SECTIONS: tuple[Callable[[Evidence], Section | None], ...] = (
    describe_purpose,
    tabulate_test,
    tabulate_folds,
    describe_comparison,
    describe_decision,
    list_limits,
    tabulate_slices,
    describe_data,
    describe_training,
    tabulate_importance,
    show_call,
    list_environment,
)
