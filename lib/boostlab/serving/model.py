"""A served model: reads its folder once and answers rows with predictions, bit for bit as MLflow's server does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from boostlab.models.booster import read_booster
from boostlab.models.contract import MODEL_DATA, NUMERIC_DATES, Contract, Feature
from boostlab.models.predictor import (
    Array,
    choose_labels,
    dates_of_numbers,
    describe_wrong_date,
    drop_missing,
    find_codes,
    index_categories,
    narrow_numbers,
    parse_booleans,
    split_dates,
    to_answers,
)
from boostlab.serving.booster import Booster
from boostlab.serving.errors import RequestError
from boostlab.serving.fast_path import read_fast, to_matrix
from boostlab.serving.parsing import Rows, read_request
from boostlab.serving.schema import parse_date
from boostlab.serving.settings import ServingError


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model, from its folder; an unknown id is empty."""

    mlflow_version: str  # the version that wrote the model; ``/version`` returns it
    model_id: str
    run_id: str
    example: dict[str, Any]  # a valid request


class ServedModel:
    """A booster and its contract.

    Parameters
    ----------
    folder : pathlib.Path
        An MLflow Model that boostlab made.
    threads : int
        XGBoost threads per request.

    Attributes
    ----------
    fast_columns : list of str
        All columns if each takes fractions; otherwise empty, and no request takes the fast path.

    Raises
    ------
    ServingError
        If the folder does not hold such a model.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        try:
            self.contract = Contract.read_model(folder)
            self.booster = Booster(read_booster(folder / MODEL_DATA, self.contract), threads=threads)
            self.info = _read_info(folder)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ServingError(
                f"{folder} does not hold a model made by boostlab: {reason}. Name the folder that contains MLmodel."
            ) from None
        self.features, self.labels = self.contract.features, self.contract.labels
        self._features = {item.name: item for item in self.features}
        self._positions = {item.name: index_categories(item) for item in self.features if item.type == "category"}
        ends = accumulate(item.width for item in self.features)
        self._slices = {item.name: slice(end - item.width, end) for item, end in zip(self.features, ends, strict=True)}
        self._number_columns = [item.name for item in self.features if item.type == "number" and item.mlflow_type == "double"]
        plain = len(self._number_columns) == len(self.features) and not any(item.missing for item in self.features)
        self.fast_columns = self._number_columns if plain else []

    def answer(self, body: bytes, content_type: str | None) -> tuple[bytes, int]:
        """Return the response's body for a request's body, and the number of rows.

        Raises
        ------
        RequestError
            If the request is not valid for this model.
        """
        fast = read_fast(body, content_type, self.fast_columns)
        if fast is not None and (matrix := to_matrix(fast, len(self.fast_columns))) is not None:
            return orjson.dumps({"predictions": self.predict(matrix)}), len(matrix)
        rows, params = read_request(body, content_type, self.features)
        wants_probabilities = self._read_params(params)
        predictions = self.predict(self.encode_checked(rows), probabilities=wants_probabilities)
        return orjson.dumps({"predictions": predictions}), rows.count

    def answer_together(self, requests: Sequence[tuple[bytes, str | None]]) -> list[tuple[bytes, int] | Exception]:
        """Answer several requests as :meth:`answer` does, and ask the booster once for all that take the fast path.

        Parameters
        ----------
        requests : sequence of (bytes, str or None)
            Body and content type of each.

        Returns
        -------
        list
            What :meth:`answer` returns or raises for each request.
        """
        fast = [read_fast(body, content_type, self.fast_columns) for body, content_type in requests]
        values = [value for each in fast if each is not None for value in each]
        matrix = to_matrix(values, len(self.fast_columns)) if values else None
        predictions = self.predict(matrix) if matrix is not None else []
        answers: list[tuple[bytes, int] | Exception] = []
        start = 0
        for (body, content_type), found in zip(requests, fast, strict=True):
            if found is not None and matrix is not None:
                rows = len(found) // len(self.fast_columns)
                answers.append((orjson.dumps({"predictions": predictions[start : start + rows]}), rows))
                start += rows
                continue
            try:
                answers.append(self.answer(body, content_type))
            except Exception as error:  # of this request alone: the others get their answers
                answers.append(error)
        return answers

    def warm_up(self) -> None:
        """Answer the example once, so that the first client does not wait for XGBoost's set-up."""
        self.answer(orjson.dumps(self.info.example), "application/json")

    def encode(self, rows: Rows) -> Array:
        """Return rows as the booster's matrix, float32 of shape (n_rows, n_inputs)."""
        matrix = np.full((rows.count, sum(item.width for item in self.features)), np.nan, np.float32)
        if not rows.count:
            return matrix
        numbers = [name for name in self._number_columns if name in rows.columns]
        try:  # all numbers in one call: a third of the time for a row of ten
            found = [drop_missing(rows.columns[name], self._features[name]) for name in numbers]
            narrow = narrow_numbers(np.array(found), "")
            matrix[:, [self._slices[name].start for name in numbers]] = narrow.T
        except ValueError:  # convert one by one, so that the error names the column
            numbers = []
        done = set(numbers)
        for item in self.features:
            if item.name in rows.columns and item.name not in done:
                encoded = self._encode_column(rows.columns[item.name], item)
                matrix[:, self._slices[item.name]] = encoded.reshape(rows.count, -1)
        return matrix

    def encode_checked(self, rows: Rows) -> Array:
        """Return rows as the booster's matrix.

        Raises
        ------
        RequestError
            If a value does not fit its column.
        """
        try:
            return self.encode(rows)
        except (ValueError, TypeError) as error:
            raise RequestError(
                "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe is "
                f"compatible with the model for inference. {error}"
            ) from None

    def score(self, matrix: Array) -> Array:
        """Return the numbers that :func:`boostlab.models.predictor.to_answers` makes of the booster's output."""
        raw = self.booster.predict(matrix) if len(matrix) else np.empty(0, np.float32)
        return to_answers(raw, self.contract)

    def predict(self, matrix: Array, *, probabilities: bool = False) -> list[Any]:
        """Return a prediction for each row: a number, a label, or a number for each quantile or each label."""
        answers = self.score(matrix)
        if self.labels and not probabilities:
            return list(choose_labels(answers, self.labels).tolist())
        names = [str(label) for label in self.labels] or self.contract.answer_names
        return [dict(zip(names, row, strict=True)) for row in answers.tolist()] if names else list(answers.tolist())

    def _encode_column(self, values: Array, feature: Feature) -> Array:
        if feature.type == "category":
            return find_codes(values, self._positions[feature.name])
        if feature.type == "date":
            return split_dates(values if values.dtype.kind == "M" else _read_dates(values, feature), feature.parts)
        if feature.type == "boolean":
            return values.astype(np.float32) if values.dtype == np.bool_ else parse_booleans(values, feature.name)
        return narrow_numbers(drop_missing(values, feature), feature.name)

    def _read_params(self, params: Any) -> bool:
        """Tell whether probabilities are requested; a regression model has no parameters and ignores them."""
        if self.contract.task == "regression" or params is None:
            return False
        if not isinstance(params, dict):
            message = f"Parameters must be a dictionary. Got type '{type(params).__name__}'."
            raise RequestError(message, code="INVALID_PARAMETER_VALUE")
        wanted = params.get("probabilities")
        if wanted is not None and not isinstance(wanted, bool):
            reason = f"Can not safely convert `{type(wanted)}` to `boolean` for value `{str(wanted)[:40]}`"
            message = f"Invalid parameters found: {{('probabilities', \"{reason}\")}}. It takes true or false."
            raise RequestError(message, code="INVALID_PARAMETER_VALUE")
        return bool(wanted)


def _read_dates(values: Array, feature: Feature) -> Array:
    """Read dates of a column that the signature declares as text, or as numbers since 1970."""
    try:
        if feature.format in NUMERIC_DATES:
            return dates_of_numbers(drop_missing(values.astype(np.float64), feature), feature.format)
        dates = [
            np.datetime64("NaT", "us") if value is None or value != value else _read_date(str(value), feature) for value in values
        ]
    except ValueError:
        raise ValueError(describe_wrong_date(feature)) from None
    return np.array(dates, "M8[us]") if not dates or np.result_type(*dates) == "M8[us]" else np.array(dates, "M8[ns]")


def _read_date(text: str, feature: Feature) -> np.datetime64:
    if feature.format:
        with suppress(ValueError):
            return np.datetime64(datetime.strptime(text, feature.format), "us")
    return parse_date(text)


def _read_info(folder: Path) -> ModelInfo:
    """Read three top-level entries of MLmodel and the example, without a YAML parser: the image has none."""
    text = (folder / "MLmodel").read_text(encoding="utf-8")
    found = dict(re.findall(r"(?m)^(mlflow_version|model_id|run_id): (\S+)$", text))
    entries = {name: "" if value == "null" else value for name, value in found.items()}
    written = (folder / "serving_input_example.json").read_text(encoding="utf-8")
    example = json.loads(written.replace('"NaT"', "null"), parse_constant=lambda _: None)  # MLflow writes NaN, which JSON lacks
    return ModelInfo(entries["mlflow_version"], entries.get("model_id", ""), entries.get("run_id", ""), example)
