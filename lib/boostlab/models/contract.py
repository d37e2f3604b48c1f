"""The contract of a trained model: what it predicts, and which columns it takes.

It is the file ``contract.json`` next to the booster. This module imports only the standard library, because it is copied with the
predictor into each logged model and into the lean image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

Task = Literal["regression", "classification"]
Label = str | int | float | bool
FeatureType = Literal["number", "boolean", "category", "date"]
MLflowType = Literal["double", "long", "boolean", "string", "datetime"]

MODEL_DATA = "data/model_data"  # the folder of boostlab's own files in an MLflow Model
CONTRACT_FILE = "contract.json"
BOOSTER_FILE = "model.ubj"
EPOCH_UNITS = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}  # dates as numbers since 1970: per second
COMPACT_DATE = "%Y%m%d"  # dates as numbers such as 20260131
NUMERIC_DATES = (*EPOCH_UNITS, COMPACT_DATE)
DTYPES: dict[MLflowType, str] = {  # the column types of MLflow's signature, as numpy and pandas hold them
    "double": "float64",
    "long": "int64",
    "boolean": "bool",
    "string": "object",
    "datetime": "datetime64[ns]",
}
# The texts that mean a missing value in a CSV file: those of pandas.
# fmt: off
MISSING_MARKERS = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN",
    "None", "n/a", "nan", "null",
})
# fmt: on


@dataclass(frozen=True)
class Feature:
    """A column that the model takes.

    Attributes
    ----------
    type : str
        How the column is encoded.
    mlflow_type : str
        The column's type in the MLflow signature, if it has one there.
    optional : bool
        Whether the training rows had missing values, so that the column may be left out.
    categories : tuple of str
        The known values of a category, in the order of their codes.
    parts : tuple of str
        The parts of a date that the booster takes, such as ``year``.
    format : str
        How dates are written as text, such as ``%d/%m/%Y``, or as numbers, such as ``epoch_s``; empty: as ISO 8601.
    ordered : bool
        Whether the order of the categories is their rank, so that a split compares them.
    gap : str
        The category that a missing value stands for, such as ``None``: MLflow's server reads this word in CSV as missing.
    missing : tuple of float
        The numbers that mean a missing value.
    any_type : bool
        Whether MLflow's signature takes any value here, and the predictor alone checks it. Only columns of fractions have a type
        there: MLflow would make booleans of ``"false"`` and 2, nanoseconds of dates, and the text "None" of null.
    """

    name: str
    type: FeatureType
    mlflow_type: MLflowType
    optional: bool = False
    categories: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    format: str = ""
    ordered: bool = False
    gap: str = ""
    missing: tuple[float, ...] = ()
    any_type: bool = False

    @property
    def width(self) -> int:
        """The number of the booster's inputs that the column becomes."""
        return len(self.parts) if self.type == "date" else 1

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Feature:
        """Read an entry of ``contract.json``."""
        _refuse_unknown(entry, {*(field.name for field in fields(cls)), "kind", "signature"})
        more: dict[str, Any] = {name: tuple(entry.get(name, ())) for name in ("categories", "parts", "missing")}
        more |= {name: entry[name] for name in ("format", "ordered", "gap", "any_type") if name in entry}
        return cls(entry["name"], entry["kind"], entry["signature"], entry["optional"], **more)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``contract.json``."""
        entry = {"name": self.name, "kind": self.type, "signature": self.mlflow_type, "optional": self.optional}
        more = {"category": {"categories": list(self.categories)}, "date": {"parts": list(self.parts)}}
        rare: dict[str, Any] = {"format": self.format, "ordered": self.ordered, "gap": self.gap, "any_type": self.any_type}
        rare["missing"] = list(self.missing)
        return entry | more.get(self.type, {}) | {name: value for name, value in rare.items() if value}


@dataclass(frozen=True)
class Calibration:
    """What makes a booster's probabilities calibrated ones.

    Attributes
    ----------
    method : str
        ``sigmoid`` or ``isotonic``.
    maps : tuple of (tuple of float, tuple of float)
        Of two classes that of the second one, of more a map for each class: of a sigmoid its slope and its intercept, which take
        the log-odds of the probability; of an isotonic map its points, ascending, and their values, linear in between.
    """

    method: str
    maps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Calibration:
        """Read the entry of ``contract.json``, or raise a ValueError if this version of boostlab does not know its method."""
        if entry["method"] not in ("sigmoid", "isotonic"):
            _refuse_unknown({f"the calibration {entry['method']!r}": None}, set())
        return cls(entry["method"], tuple((tuple(first), tuple(second)) for first, second in entry["maps"]))


@dataclass(frozen=True)
class Contract:
    """What a model predicts, and from what.

    Attributes
    ----------
    labels : tuple
        The classes in the order of the booster's output, as the target column had them; empty for regression.
    features : tuple of Feature
        The columns in the order of the booster's inputs.
    device : str
        The device of the training, as XGBoost names it: ``cpu``, ``cuda`` …
    metric : str
        The metric of training and test, such as ``rmse``; empty in contracts of earlier versions.
    quantiles : tuple of float
        The quantiles that the model answers, ascending; empty for other models.
    calibration : Calibration
        What is done to the booster's probabilities; None if they stay.
    threshold : float
        The probability of the second of two classes from which on it is the answer; None: the more probable class is.
    """

    task: Task
    labels: tuple[Label, ...]
    features: tuple[Feature, ...]
    device: str = "cpu"
    metric: str = ""
    quantiles: tuple[float, ...] = ()
    calibration: Calibration | None = None
    threshold: float | None = None

    @property
    def answer_names(self) -> list[str]:
        """The columns of the answer, if it has several: the quantiles, if there are two or more."""
        return [f"quantile {quantile}" for quantile in self.quantiles] if len(self.quantiles) > 1 else []

    @property
    def middle(self) -> int:
        """The position of the quantile that is nearest to the median; 0 for other models."""
        return min(range(len(self.quantiles)), key=lambda place: abs(self.quantiles[place] - 0.5), default=0)

    @property
    def names(self) -> list[str]:
        """The names of all features."""
        return [feature.name for feature in self.features]

    @classmethod
    def read(cls, folder: str | Path) -> Contract:
        """Read ``contract.json`` in a folder.

        Raises
        ------
        ValueError
            If the file has a field that this version of boostlab does not know: its predictions would be wrong.
        """
        content = json.loads((Path(folder) / CONTRACT_FILE).read_text(encoding="utf-8"))
        _refuse_unknown(content, {field.name for field in fields(cls)})
        features = tuple(Feature.from_dict(entry) for entry in content["features"])
        device, metric = str(content.get("device", "cpu")), str(content.get("metric", ""))
        quantiles = tuple(content.get("quantiles", ()))
        calibration = Calibration.from_dict(content["calibration"]) if "calibration" in content else None
        threshold = content.get("threshold")
        return cls(content["task"], tuple(content["labels"]), features, device, metric, quantiles, calibration, threshold)

    @classmethod
    def read_model(cls, folder: Path) -> Contract:
        """Read the contract of the MLflow Model in a folder."""
        return cls.read(folder / MODEL_DATA)

    def write(self, folder: Path) -> None:
        """Write ``contract.json`` into a folder."""
        features = [feature.to_dict() for feature in self.features]
        content: dict[str, Any] = {"task": self.task, "labels": list(self.labels), "features": features, "device": self.device}
        content |= {"metric": self.metric} if self.metric else {}
        content |= {"quantiles": list(self.quantiles)} if self.quantiles else {}
        content |= {"calibration": asdict(self.calibration)} if self.calibration else {}
        content |= {"threshold": self.threshold} if self.threshold is not None else {}
        (folder / CONTRACT_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _refuse_unknown(entry: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(entry.keys() - known):
        raise ValueError(
            f"{CONTRACT_FILE} has {', '.join(unknown)}, which this version of boostlab does not know. Update boostlab."
        )
