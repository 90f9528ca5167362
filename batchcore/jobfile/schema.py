"""The JSON Schema of a job file, for editors and for other programs that write one.

``python -m batchcore.jobfile.schema`` writes it to ``docs/job.schema.json``.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from batchcore.jobfile.declarative import SCHEMA
from batchcore.model import TASK_ID, Job

TARGET = Path("docs/job.schema.json")

Schema = dict[str, Any]

_JOB_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
_VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*$"
_SIZE_OR_TIME = r"^\s*\d+(\.\d+)?\s*[A-Za-z]*\s*$"
_PLACEHOLDER: Schema = {"type": "string", "pattern": r"\{\w+\}"}
_TEMPLATED = ("Task", "Resource", "Output", "Mount", "Requirements", "Dependency")


def job_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a declarative job file.

    It is made from the model and from what the loader adds: the `schema` key, and a template of
    tasks with a table or a matrix. It accepts what `dump_job` writes; the loader also checks what
    a schema cannot, such as paths and columns.
    """
    _, definitions = msgspec.json.schema_components([Job])
    schemas: dict[str, Schema] = json.loads(json.dumps(definitions))
    for schema in schemas.values():
        schema["description"] = " ".join(schema["description"].split("\n\n")[0].split())
    _tighten(schemas)
    for name in _TEMPLATED:
        schemas[f"{name}Template"] = _template_of(schemas[name])
    _finish_task_template(schemas["TaskTemplate"])
    job = schemas.pop("Job")
    job["properties"] = {
        "$schema": {"type": "string", "description": "Where an editor finds this schema."},
        "schema": {"const": SCHEMA, "description": "The version of this format."},
        **job["properties"],
    }
    job["properties"]["tasks"] = {
        "anyOf": [job["properties"]["tasks"], {"$ref": "#/$defs/TaskTemplate"}]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:batchcore:job:{SCHEMA}",
        **job,
        "title": "batchcore job file",
        "$defs": dict(sorted(schemas.items())),
    }


def main() -> None:
    """Write the schema to ``docs/job.schema.json`` below the current directory."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    sys.stdout.write(f"{TARGET}\n")


def _tighten(schemas: dict[str, Schema]) -> None:
    """Add what the model checks when a value is built, and a schema can say."""
    job, task = schemas["Job"], schemas["Task"]
    job["properties"]["name"]["pattern"] = _JOB_NAME
    task["properties"]["id"]["pattern"] = f"^{TASK_ID.pattern}$"
    for shared in (job, task):
        properties = shared["properties"]
        properties["env"]["propertyNames"] = {"pattern": _VARIABLE}
        properties["secrets"]["items"]["pattern"] = _VARIABLE
        _first(properties["command"], "array")["minItems"] = 1
        for name in ("timeout", "grace"):
            _first(properties[name], "number")["exclusiveMinimum"] = 0
            _first(properties[name], "string")["pattern"] = _SIZE_OR_TIME
        shared["not"] = _both("command", "shell")
    requirements = schemas["Requirements"]["properties"]
    for name in ("memory", "disk"):
        _first(requirements[name], "integer")["minimum"] = 1
        _first(requirements[name], "string")["pattern"] = _SIZE_OR_TIME
    _first(requirements["cpus"], "number")["exclusiveMinimum"] = 0
    _first(requirements["gpus"], "integer")["minimum"] = 0
    resource = schemas["Resource"]
    resource["oneOf"] = [_given(name) for name in ("source", "text", "content")]
    _first(resource["properties"]["mode"], "string")["pattern"] = "^0?[0-7]{3}$"
    schemas["Mount"]["properties"]["path"]["pattern"] = "^/"


def _template_of(schema: Schema) -> Schema:
    """Return the schema of a value before its columns are filled in."""
    template = copy.deepcopy(schema)
    template["title"] = f"{template['title']} with columns"
    for name, value in template["properties"].items():
        template["properties"][name] = _relaxed(value)
    return template


def _finish_task_template(template: Schema) -> None:
    template["description"] = (
        "One task for each row of a table or each combination of a matrix; {column} is replaced"
        " in every text except shell, {n} is the number of the row, {{ and }} are braces."
    )
    cell: Schema = {"type": ["string", "number", "boolean"]}
    axis: Schema = {"type": "array", "items": cell, "minItems": 1}
    template["properties"] = {
        "table": {
            "type": "string",
            "pattern": rf"\.({'|'.join(map(_any_case, ('csv', 'tsv', 'jsonl', 'ndjson')))})$",
            "description": "A .csv, .tsv, .jsonl or .ndjson file, relative to the job file.",
        },
        "matrix": {
            "type": "object",
            "additionalProperties": axis,
            "minProperties": 1,
            "description": "Lists of values to combine; the last one changes fastest.",
        },
        **template["properties"],
    }
    template["properties"]["id"]["default"] = "task-{n}"
    template["required"] = []
    template["oneOf"] = [{"required": ["table"]}, {"required": ["matrix"]}]


def _relaxed(schema: Schema) -> Schema:
    """Accept ``{column}`` wherever a text, a choice, a number or a flag is wanted."""

    def relax(part: Schema) -> Schema:
        if "$ref" in part:
            return {**part, "$ref": f"{part['$ref']}Template"}
        if "enum" in part or part.get("type") in {"integer", "number", "boolean"}:
            default = {"default": part.pop("default")} if "default" in part else {}
            return {"anyOf": [part, _PLACEHOLDER], **default}
        if part.get("type") == "string" and "pattern" in part:
            return {**part, "pattern": rf"{part['pattern']}|\{{\w+\}}"}
        if part.get("type") == "array":
            return {**part, "items": relax(part["items"])}
        if "anyOf" in part:
            return {**part, "anyOf": [relax(choice) for choice in part["anyOf"]]}
        return part

    return relax(schema)


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


def _first(schema: Schema, kind: str) -> Schema:
    """Return the part of a union that has a type, to change it in place."""
    parts: list[Schema] = schema["anyOf"]
    return next(part for part in parts if part.get("type") == kind)


def _given(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"type": "string"}}}


def _both(*names: str) -> Schema:
    return {
        "required": list(names),
        "properties": {name: {"not": {"type": "null"}} for name in names},
    }


if __name__ == "__main__":
    main()
