"""Description of a served model: as OpenAPI 3.1, and as a self-contained HTML page."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path
from string import Template
from typing import Any

from boostlab.models.contract import Feature
from boostlab.models.contributions import BIAS, CONTRIBUTIONS, PREDICTION, describe_unit, name_outputs
from boostlab.serving.model import ServedModel
from boostlab.serving.value_schemas import describe_value

MEANINGS = {
    "400": "The request does not match the model",
    "408": "The request arrived too slowly",
    "413": "The request is too large",
    "415": "The server does not read this content type",
    "429": "The client has sent too many requests",
    "500": "The server failed",
    "503": "The server is busy or stopping",
}
ERROR = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("error_code", "message", "sqlstate", "error_class", "column")},
        **{name: {"type": "string"} for name in ("type", "title", "detail", "instance")},
        **{name: {"type": "integer"} for name in ("status", "row")},
    },
    "required": ["error_code", "message", "type", "title", "status", "detail"],
}


def describe_api(model: ServedModel) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description, with a valid request as example."""
    request = {
        "required": True,
        "content": {
            "application/json": {"schema": _describe_request(model), "example": model.info.example},
            "text/csv": {"schema": {"type": "string"}, "example": _to_csv(model.info.example)},
        },
    }
    answers = {status: _answer(meaning, "Error") for status, meaning in MEANINGS.items()}
    answers = {"200": _answer("A prediction for each row", "Predictions"), **answers}
    predict = {"summary": "Predict", "operationId": "predict", "requestBody": request, "responses": answers}
    paths: dict[str, Any] = {"/invocations": {"post": predict}}
    for path in ("/metrics", "/version", "/ping", "/health"):
        content_type = "text/plain" if path == "/metrics" else "application/json"
        success = {"description": "The response", "content": {content_type: {}}}
        responses = {"200": success, "503": {"description": MEANINGS["503"]}}
        paths[path] = {"get": {"summary": path[1:].capitalize(), "responses": responses}}
    return {
        "openapi": "3.1.0",
        "info": {"title": _title(model), "version": model.info.model_id or "1", "description": _summary(model)},
        "paths": paths,
        "components": {"schemas": {"Predictions": _describe_answer(model), "Error": ERROR}},
    }


def render_page(model: ServedModel) -> str:
    """Return an HTML page with the same description and a form to send a request."""
    rows = "".join(
        f"<tr><td><code>{html.escape(item.name)}</code></td><td>{_describe_type(item)}</td>"
        f"<td>{'optional' if item.optional else 'required'}</td></tr>"
        for item in model.features
    )
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    values = {"title": _title(model), "summary": _summary(model), "example": json.dumps(model.info.example, indent=1)}
    return page.substitute({name: html.escape(text) for name, text in values.items()}, rows=rows)


def _title(model: ServedModel) -> str:
    return f"A {model.contract.task} model"


def _summary(model: ServedModel) -> str:
    classes = f" It answers with one of: {', '.join(map(str, model.labels))}." if model.labels else ""
    origin = f" Trained in run {model.info.run_id}." if model.info.run_id else ""
    quantiles = f" It answers with: {', '.join(model.contract.answer_names)}." if model.contract.answer_names else ""
    return f"Answers as MLflow's scoring server does.{classes}{quantiles}{origin}"


def _describe_type(item: Feature) -> str:
    if item.type == "category":
        known = ", ".join(map(html.escape, item.categories[:8])) + (" …" if len(item.categories) > 8 else "")
        return f"text: {known}; any other value counts as missing"
    if item.type == "date":
        return f"a date: ISO 8601{f', or {html.escape(item.format)}' if item.format else ''}"
    return "a number" if item.type == "number" else "true or false"


def _describe_request(model: ServedModel) -> dict[str, Any]:
    """Describe all forms of a request, as far as JSON Schema can.

    It cannot say that columns have one length. So it has no columns of several values, no other order of the columns of
    ``dataframe_split`` and no index, which the server takes too.
    """
    values = {item.name: describe_value(item) for item in model.features}
    required = [item.name for item in model.features if not item.optional]
    row = {"type": "array", "prefixItems": list(values.values()), "minItems": len(values), "maxItems": len(values)}
    table = {"columns": {"const": list(values)}, "data": {"type": "array", "items": row}}
    one: dict[str, Any] = {"type": "object", "properties": values, "required": required}
    records = {"type": "array", "items": one, "minItems": 1}
    either = {"anyOf": [records, one]}
    formats = {
        "dataframe_split": _object(table, list(table)),
        "dataframe_records": records,
        "instances": either,
        "inputs": either,
    }
    flags = ["probabilities", CONTRIBUTIONS] if model.labels else [CONTRIBUTIONS]
    params = {"type": ["object", "null"], "properties": {name: {"type": ["boolean", "null"]} for name in flags}}
    more: dict[str, Any] = {"params": params}
    return {"oneOf": [_object({name: schema, **more}, [name]) for name, schema in formats.items()]}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _describe_answer(model: ServedModel) -> dict[str, Any]:
    one: dict[str, Any] = {"type": "number"}
    if model.contract.answer_names:
        values = dict.fromkeys(model.contract.answer_names, one)
        one = {"type": "object", "properties": values, "required": list(values)}
    if model.labels:
        likely = {str(label): {"type": "number", "minimum": 0, "maximum": 1} for label in model.labels}
        one = {"oneOf": [{"enum": list(model.labels)}, {"type": "object", "properties": likely, "required": list(likely)}]}
    items = {"anyOf": [one, _describe_explanation(model, one)]}
    return {"type": "object", "properties": {"predictions": {"type": "array", "items": items}}, "required": ["predictions"]}


def _describe_explanation(model: ServedModel, prediction: dict[str, Any]) -> dict[str, Any]:
    """Describe the answer to a row with the parameter `contributions`."""
    outputs, count, number = name_outputs(model.contract), len(model.features), {"type": "number"}
    columns = {"type": "object", "additionalProperties": number, "minProperties": count, "maxProperties": count}

    def by_output(one: dict[str, Any]) -> dict[str, Any]:
        return _object(dict.fromkeys(outputs, one), outputs) if outputs else one

    unit = describe_unit(model.booster.objective, model.contract)
    more = {"description": f"What each column adds to the booster's margin ({unit}). With the bias they sum to it."}
    properties = {PREDICTION: prediction, BIAS: by_output(number), CONTRIBUTIONS: by_output(columns) | more}
    return _object(properties, list(properties))


def _answer(meaning: str, schema: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _to_csv(example: dict[str, Any]) -> str:
    split, out = example["dataframe_split"], io.StringIO()
    csv.writer(out).writerows([split["columns"], *split["data"]])
    return out.getvalue()
