"""A served model: reads its folder once and answers rows with predictions, bit for bit as MLflow's server does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from boostlab.models.answers import choose_labels, to_answers
from boostlab.models.booster import read_booster
from boostlab.models.contract import MODEL_DATA, Contract, Feature
from boostlab.models.contributions import explain_refusal, list_explanations, name_outputs, sum_by_column
from boostlab.models.conversion import (
    Array,
    ConversionError,
    Values,
    drop_missing,
    index_categories,
    narrow_numbers,
    quote,
    to_booleans,
    to_codes,
    to_numbers,
)
from boostlab.models.dates import split_dates, to_dates
from boostlab.serving.booster import Booster, BoosterError
from boostlab.serving.errors import RequestError, reject_value
from boostlab.serving.fast_path import FastReader, to_matrix
from boostlab.serving.parsing import Reader, Rows
from boostlab.serving.settings import ServerSettings, ServingError

REGISTERED = "registered_model_meta"  # MLflow writes it next to MLmodel when it downloads a version from a registry


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model, from its folder; an unknown id is empty."""

    mlflow_version: str  # the version that wrote the model; ``/version`` returns it
    model_id: str
    run_id: str
    version: str  # in the registry, if MLflow has downloaded the folder from there
    example: dict[str, Any]  # a valid request


class ServedModel:
    """A booster and its contract.

    Parameters
    ----------
    folder : pathlib.Path
        An MLflow Model that boostlab made.
    threads : int
        The most threads that predict for one request.
    max_cells : int
        The most cells in a request: rows times features.
    max_contributions : int
        The most contributions in an answer: rows times features times outputs.

    Attributes
    ----------
    fast_reader : FastReader
        Reads requests of numbers only, for a model that takes numbers only.

    Raises
    ------
    ServingError
        If the folder does not hold such a model.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        max_cells: int = ServerSettings.max_cells,
        max_contributions: int = ServerSettings.max_contributions,
    ) -> None:
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
        self.reader, self._max_contributions = Reader(self.features, max_cells), max_contributions
        self._positions = {item.name: index_categories(item) for item in self.features if item.type == "category"}
        ends = accumulate(item.width for item in self.features)
        self._slices = {item.name: slice(end - item.width, end) for item, end in zip(self.features, ends, strict=True)}
        is_plain = all(item.type == "number" and not item.missing for item in self.features)
        self.fast_reader = FastReader(self.contract.names if is_plain else [])

    def answer(self, body: bytes, content_type: str | None) -> tuple[bytes, int]:
        """Return the response's body for a request's body, and the number of rows.

        Raises
        ------
        RequestError
            If the request is not valid for this model.
        """
        fast = self._read_fast(body, content_type)
        if fast is not None and (matrix := to_matrix(fast, len(self.features))) is not None:
            return msgspec.json.encode({"predictions": self.predict(matrix)}), len(matrix)
        rows, params = self.reader.read_request(body, content_type)
        wanted = self._read_params(params)
        matrix = self.encode(rows)
        predictions = self.predict(matrix, probabilities="probabilities" in wanted)
        if "contributions" in wanted:
            predictions = list_explanations(self.contribute(matrix), predictions, self.contract)
        return msgspec.json.encode({"predictions": predictions}), rows.count

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
        fast = [self._read_fast(body, content_type) for body, content_type in requests]
        values = [value for each in fast if each is not None for value in each]
        matrix = to_matrix(values, len(self.features)) if values else None
        predictions = self.predict(matrix) if matrix is not None else []
        answers: list[tuple[bytes, int] | Exception] = []
        start = 0
        for (body, content_type), found in zip(requests, fast, strict=True):
            if found is not None and matrix is not None:
                rows = len(found) // len(self.features)
                answers.append((msgspec.json.encode({"predictions": predictions[start : start + rows]}), rows))
                start += rows
                continue
            try:
                answers.append(self.answer(body, content_type))
            except Exception as error:  # of this request alone: the others get their answers
                answers.append(error)
        return answers

    def _read_fast(self, body: bytes, content_type: str | None) -> list[float] | None:
        values = self.fast_reader.read(body, content_type)
        return None if values is not None and len(values) > self.reader.max_cells else values

    def warm_up(self) -> None:
        """Answer the example once, so that the first client does not wait for XGBoost's set-up."""
        with suppress(RequestError):  # the example may have more cells than the settings allow
            self.answer(msgspec.json.encode(self.info.example), "application/json")

    def encode(self, rows: Rows) -> Array:
        """Return rows as the booster's matrix, float32 of shape (n_rows, n_inputs).

        Raises
        ------
        RequestError
            If a column does not take a value, with the row and the column.
        """
        matrix = np.full((rows.count, sum(item.width for item in self.features)), np.nan, np.float32)
        if not rows.count:
            return matrix
        try:
            for item in self._encode_numbers(rows, matrix):
                encoded = self._encode_column(rows.columns[item.name], item)
                matrix[:, self._slices[item.name]] = encoded.reshape(rows.count, -1)
        except ConversionError as error:
            raise reject_value(error) from None
        return matrix

    def _encode_numbers(self, rows: Rows, matrix: Array) -> list[Feature]:
        """Write plain numbers into the matrix in one call, a third of the time for a row of ten; return the other columns."""
        sent = [item for item in self.features if item.name in rows.columns]
        numbers = [item for item in sent if item.type == "number" and not item.missing]
        try:
            values = list(chain.from_iterable(rows.columns[item.name] for item in numbers))
            narrow = narrow_numbers(to_numbers(values, ""), "").reshape(len(numbers), rows.count)
        except ConversionError:  # convert one by one, so that the error names the column
            return sent
        matrix[:, [self._slices[item.name].start for item in numbers]] = narrow.T
        return [item for item in sent if item not in numbers]

    def score(self, matrix: Array) -> Array:
        """Return the numbers that :func:`boostlab.models.answers.to_answers` makes of the booster's output."""
        raw = self.booster.predict(matrix) if len(matrix) else np.empty(0, np.float32)
        return to_answers(raw, self.contract)

    def predict(self, matrix: Array, *, probabilities: bool = False) -> list[Any]:
        """Return a prediction for each row: a number, a label, or a number for each quantile or each label."""
        answers = self.score(matrix)
        if self.labels and not probabilities:
            return list(choose_labels(answers, self.contract).tolist())
        names = [str(label) for label in self.labels] or self.contract.answer_names
        return [dict(zip(names, row, strict=True)) for row in answers.tolist()] if names else list(answers.tolist())

    def contribute(self, matrix: Array) -> Array:
        """Return what :meth:`boostlab.models.predictor.Predictor.contributions` returns.

        Raises
        ------
        RequestError
            If there would be too many contributions, or XGBoost cannot explain the booster.
        """
        outputs = max(len(name_outputs(self.contract)), 1)
        most = max(self._max_contributions // (len(self.features) * outputs), 1)
        if len(matrix) > most:
            each = f"{len(self.features)} columns{f' for {outputs} outputs' if outputs > 1 else ''}"
            raise RequestError(
                f"The request has more than {most:,} rows, and asks for the contributions of {each}. The server computes at most "
                f"{self._max_contributions:,} contributions per request: send fewer rows.",
                code="REQUEST_LIMIT_EXCEEDED",
                status=413,
            )
        try:
            return sum_by_column(self.booster.contribute(matrix) if len(matrix) else np.empty(0), self.contract)
        except BoosterError as error:
            raise RequestError(explain_refusal(error), code="INVALID_PARAMETER_VALUE") from None

    def _encode_column(self, values: Values, feature: Feature) -> Array:
        if feature.type == "category":
            return to_codes(values, feature, self._positions[feature.name])
        if feature.type == "date":
            return split_dates(to_dates(values, feature), feature.parts)
        if feature.type == "boolean":
            return to_booleans(values, feature.name)
        return narrow_numbers(drop_missing(to_numbers(values, feature.name), feature), feature.name)

    def _read_params(self, params: Any) -> set[str]:
        """Return the names of the parameters that are true; a regression model has no probabilities and ignores them."""
        if params is None:
            return set()
        if not isinstance(params, dict):
            message = f"Parameters must be a dictionary. Got type '{type(params).__name__}'."
            raise RequestError(message, code="INVALID_PARAMETER_VALUE")
        known = ("probabilities", "contributions") if self.labels else ("contributions",)
        for name in known:
            if not isinstance(params.get(name), bool | None):
                message = f"The parameter {name!r} takes true or false, not {quote(params[name])}."
                raise RequestError(message, code="INVALID_PARAMETER_VALUE")
        return {name for name in known if params.get(name)}


def _read_info(folder: Path) -> ModelInfo:
    """Read three top-level entries of MLmodel, the version and the example, without a YAML parser: the image has none."""
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("MLmodel", REGISTERED) if (folder / name).exists()]
    found = dict(re.findall(r"(?m)^(mlflow_version|model_id|run_id|model_version): '?([^\s']+)'?$", "\n".join(texts)))
    entries = {name: "" if value == "null" else value for name, value in found.items()}
    written = (folder / "serving_input_example.json").read_text(encoding="utf-8")
    example = json.loads(written.replace('"NaT"', "null"), parse_constant=lambda _: None)  # MLflow writes NaN, which JSON lacks
    ids = entries.get("model_id", ""), entries.get("run_id", "")
    return ModelInfo(entries["mlflow_version"], *ids, entries.get("model_version", "1"), example)
