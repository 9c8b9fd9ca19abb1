"""``python -m agent.config.schema``: writes the JSON Schema of the configuration for editors.

A reference (``${ENV:NAME}``) is accepted by the schema wherever a value is: it is replaced before
the models see it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.config.models import Config

FILE = Path(__file__).parents[2] / "config" / "pitwatch.schema.json"
_REFERENCE = {"type": "string", "pattern": r"^\$\{(ENV|FILE):[^{}]+\}$"}
_OURS = ("title", "words")
_SCALARS = ("string", "integer", "number", "boolean")


def schema_text() -> str:
    """The schema as it stands in the file."""
    schema = _with_references(Config.model_json_schema())
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _with_references(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_references(value) for key, value in node.items() if key not in _OURS}
    if "properties" in node or "anyOf" in node or node.get("type") not in _SCALARS:
        return node
    if set(node) <= {"type", "description", "default"} and node["type"] == "string":
        return node  # any text, so a reference as well
    outer = {key: node.pop(key) for key in ("description", "default") if key in node}
    return outer | {"anyOf": [node, _REFERENCE]}


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
