"""The API's description (OpenAPI 3.1), made of what the code itself goes by where that can be."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any

from waitctl import __version__
from waitctl.application.documents import WAIT_FIELDS
from waitctl.application.waits.forms import FORMS
from waitctl.domain.statuses import DeliveryStatus, Outcome, Resolution, WaitExecutionStatus, WaitType
from waitctl.domain.waits import ENUMERATIONS, INSTANTS
from waitctl.web.filters import MAX_LIMIT
from waitctl.web.wait_body import body_keys

Schema = dict[str, Any]

_TYPES: dict[type, Schema] = {
    str: {"type": "string", "maxLength": 10_000},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    dict: {"type": "object"},
    list: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "object"}]},
    tuple: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
_ID: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_OBJECT_OR_NULL: Schema = {"type": ["object", "null"]}


@cache
def openapi_document() -> Schema:
    """The document of ``/openapi.json``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "waitctl",
            "version": __version__,
            "description": "Durable waits: create and end them, record events, look at both.",
        },
        "servers": [{"url": "."}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "responses": {
                name: {
                    "description": words,
                    "content": {"application/json": {"schema": _ref("Error")}},
                }
                for name, words in _ERRORS.values()
            },
        },
    }


_ERRORS = {
    "400": ("Invalid", "What was asked cannot be."),
    "401": ("Unauthorized", "It needs a token."),
    "403": ("Forbidden", "The token is not good for this."),
    "404": ("NotFound", "Nothing is there under that name."),
    "408": ("TimedOut", "The body did not come in time."),
    "409": ("Conflict", "The present state does not allow it."),
    "412": ("Changed", "It has changed since (If-Match)."),
    "413": ("TooLarge", "The body is too large."),
    "415": ("UnsupportedType", "The content type is none of those."),
    "421": ("Misdirected", "The Host is no name of this server."),
    "429": ("TooMany", "Too many requests at the moment; Retry-After says when to come back."),
    "503": ("Away", "The database is away; Retry-After says when to come back."),
}
_ALWAYS = ("400", "401", "403", "421", "429", "503")
_WITH_BODY = ("408", "413", "415")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": _ID}


def _query(name: str, schema: Schema, words: str = "") -> Schema:
    return {"name": name, "in": "query", "schema": schema} | ({"description": words} if words else {})


def _header(name: str, words: str) -> Schema:
    return {"name": name, "in": "header", "schema": {"type": "string", "maxLength": 255}, "description": words}


def _operation(
    summary: str,
    answers: dict[str, str],
    *,
    errors: tuple[str, ...] = (),
    parameters: list[Schema] | None = None,
    body: Schema | None = None,
    needs_body: bool = True,
) -> Schema:
    """An operation: what it answers with by status (the name of a schema), and which errors beside the usual."""
    names = sorted({*_ALWAYS, *errors, *(_WITH_BODY if body else ())})
    responses: Schema = {
        status: {"description": "As asked.", "content": {"application/json": {"schema": _ref(schema)}}}
        for status, schema in answers.items()
    }
    responses |= {status: {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in names}
    operation: Schema = {"summary": summary, "parameters": parameters or [], "responses": responses}
    if body:
        operation["requestBody"] = {"required": needs_body, "content": body}
    return operation


def _paths() -> Schema:
    match = _header("If-Match", "Only if this is still its ETag.")
    events = {"anyOf": [_ref("NewEvent"), {"type": "array", "items": _ref("NewEvent"), "maxItems": 1000}]}
    waits = {
        "/api/v1/workflows/{workflow_id}/executions/{execution_id}/wait": {
            "post": _operation(
                "Create a wait; asked again, the same one is returned",
                {"201": "CreatedWait", "200": "CreatedWait"},
                errors=("409",),
                parameters=[
                    _path("workflow_id"),
                    _path("execution_id"),
                    _query("dry_run", {"type": "boolean"}, "Write nothing, and explain."),
                    _header("Idempotency-Key", "Create once for ever under this key, per workflow."),
                ],
                body=_json(_ref("NewWait")),
            )
        },
        "/api/v1/workflows/executions/{execution_id}/wait/{step_id}": _step_path(match),
        "/api/v1/workflows/tasks/wait/{wait_id}/resume": {
            "post": _operation(
                "Resume a wait by hand",
                {"200": "Wait"},
                errors=("404", "409", "412"),
                parameters=[_path("wait_id"), match],
                body=_json(_ref("Resume")),
                needs_body=False,
            )
        },
        "/api/v1/admin/workflows/waits/pending": {"get": _operation("What is open", {"200": "Pending"})},
        "/api/v1/waits": {
            "get": _operation("Waits, newest first", {"200": "Waits"}, errors=("404", "409"), parameters=_filters())
        },
        "/api/v1/waits/{wait_id}": {
            "get": _operation(
                "A wait, by its id or by the first or last 8 or more characters of it",
                {"200": "Wait"},
                errors=("404", "409"),
                parameters=[_path("wait_id")],
            )
        },
    }
    post = _operation(
        "Record events: one, an array of them, or lines of NDJSON",
        {"200": "Recorded", "201": "Recorded"},
        body=_json(events) | {"application/x-ndjson": {"schema": {"type": "string"}}},
    )
    return {"/api/v1/events": {"post": post}} | waits


def _step_path(match: Schema) -> Schema:
    step = [_path("execution_id"), _path("step_id")]
    return {
        "get": _operation(
            "The latest wait of a step",
            {"200": "Wait"},
            errors=("404",),
            parameters=[
                *step,
                _query("until", {"enum": ["ended"]}, "Answer once it has ended, or when the timeout is over."),
                _query("timeout", {"type": "string", "pattern": "^[0-9]{1,2}s?$"}, "Seconds; 50 at most."),
            ],
        ),
        "delete": _operation(
            "Cancel the step's open wait",
            {"200": "Wait"},
            errors=("404", "409", "412"),
            parameters=[*step, _query("reason", {"type": "string", "maxLength": 200}), match],
        ),
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _filters() -> list[Schema]:
    statuses = {"type": "array", "items": {"enum": list(WaitExecutionStatus)}}
    return [
        _query("status", statuses),
        _query("type", {"type": "array", "items": {"enum": [each.replace("_", "-") for each in WaitType]}}),
        *(_query(name, _ID) for name in ("workflow", "execution", "step", "contact", "handler")),
        _query("overdue", {"type": "boolean"}),
        *(
            _query(name, {"type": "string", "format": "date-time"}, "An instant, or 2h from now, -2h ago.")
            for name in ("due-before", "due-after", "created-before", "created-after")
        ),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
        _query("after", {"type": "string", "format": "uuid"}, "`next` of the page before."),
    ]


def _schemas() -> Schema:
    wait = {name: _wait_field(name) for name in WAIT_FIELDS}
    wait |= {name: {"type": "array", "items": {"type": "object"}} for name in ("listeners", "deliveries")}
    resolutions = {"enum": [*DeliveryStatus]}
    created = {"created": {"type": "boolean"}, "explanation": {"type": "array", "items": {"type": "string"}}}
    return {
        "Error": _object(
            {"error": _object({"code": {"type": "string"}, "message": {"type": "string"}, "hint": _TEXT_OR_NULL})}
        ),
        "NewWait": {"oneOf": [_new_wait(form) for form in FORMS], "discriminator": {"propertyName": "type"}},
        "Wait": _object(wait),
        "CreatedWait": {"type": "object", "properties": wait | created, "required": [*wait, "created"]},
        "Waits": _object({"waits": {"type": "array", "items": _ref("Wait")}, "next": _TEXT_OR_NULL}),
        "Pending": _object({"open": {"type": "integer"}, "overdue": {"type": "integer"}}),
        "Resume": {
            "type": "object",
            "properties": {"reason": {"type": "string", "minLength": 1, "maxLength": 200}, "data": {"type": "object"}},
            "additionalProperties": False,
        },
        "NewEvent": {
            "type": "object",
            "properties": {
                "type": _ID,
                "contact": _ID,
                "data": {"type": "object"},
                "id": _ID,
                "source": _ID,
                "at": {"type": "string", "format": "date-time"},
            },
            "required": ["type", "contact"],
            "additionalProperties": False,
        },
        "Recorded": {"type": "object"},
        "Delivery": {"type": "object", "properties": {"status": resolutions, "outcome": {"enum": [*Outcome]}}},
    }


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _wait_field(name: str) -> Schema:
    if name in INSTANTS:
        return _INSTANT
    choices = {"status": WaitExecutionStatus, "wait_type": WaitType, "resolution": Resolution}
    if name in ENUMERATIONS:
        return {"enum": [*choices[name], *([None] if name == "resolution" else [])]}
    if name in {"wait_config", "context", "handlers", "command"}:
        return _OBJECT_OR_NULL
    return {"type": ["integer", "null"]} if name == "late_seconds" else _TEXT_OR_NULL


def _new_wait(form: str) -> Schema:
    kinds, required = body_keys(form)
    properties = {name: _option(kind) for name, kind in kinds.items()}
    return {
        "type": "object",
        "title": form,
        "properties": {"type": {"enum": [form, form.replace("-", "_")]}} | properties,
        "required": ["type", *required],
        "additionalProperties": False,
    }


def _option(kind: type) -> Schema:
    return {"enum": list(kind)} if issubclass(kind, StrEnum) else _TYPES[kind]
