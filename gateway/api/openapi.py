"""The OpenAPI 3.1 document, generated from the registry; `python -m gateway.api.openapi` writes the committed file."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from catalog.access import Role
from gateway.api.problem import KINDS, PROBLEM_TYPE, Code, Problem
from gateway.api.registry import JSON, NoQuery, Operation

VERSION: Final = "1.0.0"

_REF: Final = "#/components/schemas/{model}"
_ALWAYS: Final = (Code.INVALID, Code.TOO_MANY, Code.INTERNAL, Code.DATABASE_AWAY, Code.LOG_FULL)
_WITH_TOKEN: Final = (Code.UNAUTHENTICATED, Code.FORBIDDEN)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the whole document."""
    names = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Muster API",
            "version": VERSION,
            "description": "点名: who must connect, who is online, degraded, offline or never connected.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": names,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def render(operations: Sequence[Operation]) -> str:
    """Return the document as the committed file holds it."""
    return json.dumps(document(operations), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    models: set[tuple[type[BaseModel], JsonSchemaMode]] = {(Problem, "serialization")}
    for operation in operations:
        if operation.body is not None:
            models.add((operation.body, "validation"))
        models |= {(answer, "serialization") for answer in operation.answers.values() if answer is not None}
    ordered = sorted(models, key=lambda item: (item[0].__name__, item[1]))
    _, definitions = models_json_schema(ordered, ref_template=_REF)
    found: dict[str, Any] = definitions["$defs"]
    return found


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "x-muster-roles": sorted(role.value for role in operation.answers),
        "x-muster-region": operation.region_rule,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": [] if Role.PUBLIC in operation.answers else [{"token": []}],
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    elif operation.body_types:
        content = {
            media: {"schema": {"type": "string", "format": "binary"}} for media in operation.body_types
        }
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.query is not NoQuery:
        schema = operation.query.model_json_schema(ref_template=_REF)
        definitions = schema.get("$defs", {})
        for name, item in schema["properties"].items():
            found.append(
                {"name": name, "in": "query", "required": False, "schema": _inlined(item, definitions)}
            )
    if Role.POLICE_STATUS in operation.answers:
        text = "What the call is for; percent-encoded UTF-8. Needed from police_status, here or in the body."
        found.append(
            {
                "name": "X-Purpose",
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string", "maxLength": 500},
            }
        )
    return found


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with its references written out: parameters stand outside `components`."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(item, definitions) for name, item in schema.items() if name != "title"}


def _responses(operation: Operation) -> dict[str, Any]:
    models = {answer.__name__: answer for answer in operation.answers.values() if answer is not None}
    content: dict[str, Any] = {}
    for media in operation.media:
        if media == JSON and models:
            refs = [{"$ref": _REF.format(model=name)} for name in sorted(models)]
            content[JSON] = {"schema": refs[0] if len(refs) == 1 else {"oneOf": refs}}
        else:
            content[media] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {
        str(operation.status): {"description": operation.summary, "content": content}
    }
    codes = [*operation.problems, *_ALWAYS]
    if Role.PUBLIC not in operation.answers:
        codes += _WITH_TOKEN
    if Role.POLICE_STATUS in operation.answers:
        codes.append(Code.PURPOSE_MISSING)
    if operation.body is not None:
        codes += [Code.MALFORMED, Code.MEDIA_TYPE, Code.TOO_LARGE]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(KINDS[code].status, []).append(code.value)
    problem = {"schema": {"$ref": _REF.format(model="Problem")}}
    for status, words in sorted(by_status.items()):
        responses.setdefault(
            str(status), {"description": ", ".join(sorted(words)), "content": {PROBLEM_TYPE: problem}}
        )
    return responses


def committed() -> str:
    """Return the committed document."""
    return files("gateway.api").joinpath("openapi.json").read_text(encoding="utf-8")


def main() -> None:
    """Write the document beside this module."""
    from gateway.api.app import OPERATIONS

    Path(__file__).with_name("openapi.json").write_text(render(OPERATIONS), encoding="utf-8")


if __name__ == "__main__":
    main()
