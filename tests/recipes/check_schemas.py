"""Checks JSON values against the schemas of docs/schema. Each line of stdin has one: {"schema", "value", "is_valid"}.

A schema allows fields that later versions may add. Here it does not, so a field without a schema is found.
"""

import json
import pathlib
import sys

import jsonschema


def close(schema):
    """Allows no other properties than those named."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            close(part)
    elif isinstance(schema, list):
        for part in schema:
            close(part)
    return schema


validators = {}
for file in pathlib.Path(sys.argv[1]).glob("*.schema.json"):
    schema = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validators[file.name.split(".")[0]] = jsonschema.Draft202012Validator(close(schema))

count = 0
for line in sys.stdin:
    case = json.loads(line)
    error = jsonschema.exceptions.best_match(validators[case["schema"]].iter_errors(case["value"]))
    if (error is None) != case["is_valid"]:
        sys.exit(f"{case}: {error.message if error else 'is accepted'}")
    count += 1
print(count)
