"""The Open Inference Protocol, version 2, as KServe, Triton and Seldon speak it: health, metadata and inference as JSON.

A request has one tensor per column, or one tensor of all columns in the model's order. The output ``predictions`` is a number or
a label for each row. Those who ask for them in ``outputs`` also get ``contributions`` and ``bias``, and ``probabilities`` of
classifiers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from boostlab.models.answers import choose_labels
from boostlab.models.contract import Feature
from boostlab.models.contributions import BIAS, CONTRIBUTIONS, name_outputs
from boostlab.models.conversion import quote
from boostlab.serving.body import compute, read_body
from boostlab.serving.errors import RequestError
from boostlab.serving.model import ServedModel
from boostlab.serving.settings import ServerSettings

DATATYPES = {"double": "FP64", "long": "INT64", "boolean": "BOOL", "string": "BYTES", "datetime": "BYTES"}
ACCEPTED: dict[str, frozenset[type]] = {  # JSON values of a tensor's datatype; null is a missing value
    "BOOL": frozenset([bool]),
    "BYTES": frozenset([str]),
    **dict.fromkeys(["FP16", "FP32", "FP64"], frozenset([int, float])),
    **dict.fromkeys([f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)], frozenset([int])),
}
PREDICTIONS, PROBABILITIES = "predictions", "probabilities"


class InferenceProtocol:
    """The paths under ``/v2``."""

    def __init__(self, model: ServedModel, settings: ServerSettings, is_ready: Callable[[], bool]) -> None:
        self._model, self._settings, self._is_ready = model, settings, is_ready
        self._name, self._version = settings.model_name, settings.model_version or model.info.version
        self._outputs = [PREDICTIONS, *([PROBABILITIES] if model.labels else []), CONTRIBUTIONS, BIAS]

    def routes(self) -> list[Route]:
        """Return a route for each path."""
        found = [Route("/v2", self.server), Route("/v2/health/live", self.live), Route("/v2/health/ready", self.ready)]
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            found += [
                Route(path, self.metadata),
                Route(f"{path}/ready", self.model_ready),
                Route(f"{path}/infer", self.infer, methods=["POST"]),
            ]
        return found

    async def server(self, _: Request) -> Response:
        """Describe the server."""
        return _answer({"name": "boostlab", "version": self._model.info.mlflow_version, "extensions": []})

    async def live(self, _: Request) -> Response:
        """Tell that the process works."""
        return _answer({"live": True})

    async def ready(self, _: Request) -> Response:
        """Tell whether the server takes new requests."""
        return _answer({"ready": self._is_ready()}, 200 if self._is_ready() else 503)

    async def model_ready(self, request: Request) -> Response:
        """Tell whether the model answers."""
        self._find(request)
        return _answer({"name": self._name, "ready": self._is_ready()}, 200 if self._is_ready() else 503)

    async def metadata(self, request: Request) -> Response:
        """Describe the model's inputs and outputs."""
        self._find(request)
        outputs = [_tensor(name, self._datatype(name), [-1, *self._widths(name)]) for name in self._outputs]
        inputs = [_tensor(item.name, DATATYPES[item.mlflow_type], [-1]) for item in self._model.features]
        facts = {"name": self._name, "versions": [self._version], "platform": "xgboost"}
        return _answer({**facts, "inputs": inputs, "outputs": outputs})

    async def infer(self, request: Request) -> Response:
        """Answer tensors."""
        self._find(request)
        if "inference-header-content-length" in request.headers:
            raise RequestError("The server reads tensors as JSON only. Send their values in `data`, not as binary data.")
        body = await read_body(request, self._settings)
        content, request.state.rows = await compute(self._infer, body)
        return Response(content, media_type="application/json")

    def _find(self, request: Request) -> None:
        """Raise a RequestError if a path names another model."""
        name, version = request.path_params["name"], request.path_params.get("version", self._version)
        if (name, version) != (self._name, self._version):
            reason = (
                f"This server has no model {name[:80]!r} of version {version[:20]!r}. It has {self._name!r}, {self._version!r}."
            )
            raise RequestError(reason, code="RESOURCE_DOES_NOT_EXIST", status=404)

    def _infer(self, body: bytes) -> tuple[bytes, int]:
        content = self._model.reader.decode(body)
        if not isinstance(content, dict):
            raise RequestError("The body is not a JSON object. It needs `inputs`: a list of tensors.")
        wanted = self._read_outputs(content.get("outputs"))
        rows = self._model.reader.read_columns(_read_inputs(content.get("inputs"), self._model.features))
        matrix = self._model.encode(rows)
        answers = self._model.score(matrix)
        values = {PREDICTIONS: choose_labels(answers, self._model.contract) if self._model.labels else answers}
        values |= {PROBABILITIES: answers} if self._model.labels else {}
        if not {CONTRIBUTIONS, BIAS}.isdisjoint(wanted):
            explained = self._model.contribute(matrix)
            values |= {CONTRIBUTIONS: explained[:, :, :-1], BIAS: explained[:, :, -1]}
        outputs = [
            _tensor(name, self._datatype(name), [rows.count, *self._widths(name)]) | {"data": values[name].ravel().tolist()}
            for name in wanted
        ]
        facts = {"model_name": self._name, "model_version": self._version}
        if isinstance(content.get("id"), str):
            facts["id"] = content["id"]
        return msgspec.json.encode({**facts, "outputs": outputs}), rows.count

    def _read_outputs(self, wanted: Any) -> list[str]:
        if not wanted:
            return [PREDICTIONS]
        names = [each.get("name") if isinstance(each, dict) else None for each in wanted] if isinstance(wanted, list) else [None]
        for name in names:
            if name not in self._outputs:
                raise RequestError(f"The model has no output {quote(name)}. It has: {', '.join(self._outputs)}.")
        return [str(name) for name in names]

    def _datatype(self, output: str) -> str:
        """Return the datatype of an output."""
        kinds = {type(label) for label in self._model.labels} if output == PREDICTIONS else set()
        return "FP64" if not kinds or float in kinds else "BOOL" if kinds == {bool} else "INT64" if kinds == {int} else "BYTES"

    def _widths(self, output: str) -> list[int]:
        """Return the lengths of an output's further axes: of contributions, the number of named outputs and that of columns."""
        if output in (CONTRIBUTIONS, BIAS):
            named = name_outputs(self._model.contract)
            return [*([len(named)] if named else []), *([len(self._model.features)] if output == CONTRIBUTIONS else [])]
        columns = self._model.labels if output == PROBABILITIES else self._model.contract.answer_names
        return [len(columns)] if columns else []


def _read_inputs(inputs: Any, features: Sequence[Feature]) -> dict[str, list[Any]]:
    """Return the values of each column in a request's tensors."""
    if not isinstance(inputs, list) or not inputs or not all(isinstance(each, dict) for each in inputs):
        raise RequestError("The request needs `inputs`: a list of tensors, each with name, shape, datatype and data.")
    names = [item.name for item in features]
    tensors = {name: (shape, values) for name, shape, values in map(_read_tensor, inputs)}
    if len(tensors) < len(inputs):
        raise RequestError("Two tensors have the same name.")
    ((first, (shape, values)), *others) = tensors.items()
    if not others and len(shape) == 2 and first not in names:
        if shape[1] != len(names):
            raise RequestError(
                f"Tensor {first[:80]!r} has {shape[1]} columns, and the model {len(names)}: {', '.join(names)[:400]}."
            )
        return {name: values[position :: len(names)] for position, name in enumerate(names)}
    for name, (shape, _) in tensors.items():
        if len(shape) == 2 and shape[1] != 1:
            raise RequestError(f"Tensor {name[:80]!r} has the shape {shape}. A column has the shape [rows] or [rows, 1].")
    if len({shape[0] for shape, _ in tensors.values()}) > 1:
        raise RequestError("The tensors have different numbers of rows.")
    return {name: values for name, (_, values) in tensors.items()}


def _read_tensor(tensor: dict[str, Any]) -> tuple[str, list[int], list[Any]]:
    """Return the name, the shape and the flat values of a tensor."""
    name, shape, datatype, data = (tensor.get(part) for part in ("name", "shape", "datatype", "data"))
    if not isinstance(name, str) or not isinstance(data, list):
        raise RequestError("A tensor is not complete: it needs a name and `data`, a list.")
    shown = f"Tensor {name[:80]!r}"
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestError(f"{shown} needs a shape: a list of whole numbers, the rows first.")
    if len(shape) > 2:
        raise RequestError(f"{shown} has {len(shape)} axes. A column has the shape [rows] or [rows, 1].")
    if not isinstance(datatype, str) or datatype not in ACCEPTED:
        raise RequestError(f"{shown} has the datatype {quote(datatype)}. The server reads: {', '.join(sorted(ACCEPTED))}.")
    values = data
    while any(isinstance(value, list) for value in values):  # the protocol allows nested lists too
        if not all(isinstance(value, list) for value in values):
            raise RequestError(f"{shown} mixes values and lists.")
        values = [value for row in values for value in row]
    if len(values) != prod(shape):
        raise RequestError(f"{shown} has {len(values)} values, and the shape {shape} needs {prod(shape)}.")
    if wrong := [value for value in values if type(value) not in ACCEPTED[datatype] and value is not None]:
        raise RequestError(f"{shown} has the datatype {datatype}, and the value {quote(wrong[0])}.")
    return name, shape, values


def _tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
