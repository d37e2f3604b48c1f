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
from boostlab.serving.model import ServedModel

MAX_NUMBER = 3.4e38  # float32
TYPES: dict[str, dict[str, Any]] = {
    "double": {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
    "long": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
    "datetime": {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$"},
}
MEANINGS = {
    "400": "The request does not match the model",
    "408": "The request arrived too slowly",
    "413": "The request is too large",
    "415": "The server does not read this content type",
    "500": "The server failed",
    "503": "The server is busy or stopping",
}
ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error_code", "message", "sqlstate", "error_class")},
    "required": ["error_code", "message"],
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
    answers["415"]["content"] = answers["503"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
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
        return "a date or time, ISO 8601"
    return {"long": "a whole number", "double": "a number"}.get(item.mlflow_type, "true or false")


def _describe_request(model: ServedModel) -> dict[str, Any]:
    values = {item.name: _describe_value(item) for item in model.features}
    row = {"type": "array", "prefixItems": list(values.values()), "minItems": len(values), "maxItems": len(values)}
    table = {"columns": {"const": list(values)}, "data": {"type": "array", "items": row, "maxItems": 50}}
    records = {"type": "array", "items": _object(values, list(values)), "minItems": 1, "maxItems": 50}
    required = [item.name for item in model.features if not item.optional]
    formats = {
        "dataframe_split": _object(table, list(table)),
        "dataframe_records": {**records, "items": _object(values, required)},
        "instances": records,
        "inputs": records,
    }
    params = {"type": "object", "properties": {"probabilities": {"type": "boolean"}}, "additionalProperties": False}
    more = {"params": params} if model.labels else {}
    return {"oneOf": [_object({name: schema, **more}, [name]) for name, schema in formats.items()]}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _describe_value(item: Feature) -> dict[str, Any]:
    if item.mlflow_type == "string" and item.type != "category":
        return TYPES["datetime"] if item.type == "date" else {"enum": ["true", "false"]}
    return TYPES[item.mlflow_type]


def _describe_answer(model: ServedModel) -> dict[str, Any]:
    one: dict[str, Any] = {"type": "number"}
    if model.contract.answer_names:
        values = dict.fromkeys(model.contract.answer_names, one)
        one = {"type": "object", "properties": values, "required": list(values)}
    if model.labels:
        likely = {str(label): {"type": "number", "minimum": 0, "maximum": 1} for label in model.labels}
        one = {"oneOf": [{"enum": list(model.labels)}, {"type": "object", "properties": likely, "required": list(likely)}]}
    return {"type": "object", "properties": {"predictions": {"type": "array", "items": one}}, "required": ["predictions"]}


def _answer(meaning: str, schema: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _to_csv(example: dict[str, Any]) -> str:
    split, out = example["dataframe_split"], io.StringIO()
    csv.writer(out).writerows([split["columns"], *split["data"]])
    return out.getvalue()
