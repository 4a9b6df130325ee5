"""The page of all keys of a configuration, ``docs/config.md``: ``python docs/site/config_page.py``.

It is made from the models that read a configuration, so that it says what they accept. A test
compares the two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.config import Config

PAGE = Path(__file__).parents[1] / "config.md"
HEAD = """# Keys of a configuration

A configuration is a YAML file of the keys below, for `augmentor train`, `gain`, `semi`, `compare`
and `verify`. Every key has a default, and unknown keys are refused. Options of the command line
change single keys: `--size 32` is `data.size`. `augmentor configs` lists files to begin with;
`--dry-run` shows what a file asks for.

Made by `python docs/site/config_page.py` from the code that reads the file.
"""
KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "nothing",
    "object": "a mapping",
}
BAR = "\\|"
"""A bar that ends no column."""


def config_page() -> str:
    """The page."""
    schema = Config.model_json_schema()
    models, of_run = schema["$defs"], dict[str, Any]()
    parts = [HEAD]
    for name, field in schema["properties"].items():
        if "$ref" in field:
            model = models[field["$ref"].rpartition("/")[2]]
            parts.append(section(name, model, models))
            parts += [
                section(f"{name}.{key}", inner, models) for key, inner in below(model, models)
            ]
        else:
            of_run[name] = field
    whole = {"description": "Keys beside the sections.", "properties": of_run}
    parts.insert(1, section("", whole, models))
    return "\n".join(parts)


def below(model: dict[str, Any], models: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys of a section that hold keys of their own, and the model of these; those of a mapping
    by names that a user chooses as ``KEY.NAME``.
    """
    for key, field in model["properties"].items():
        for one in field.get("anyOf", [field]):
            named = [one.get("additionalProperties"), *one.get("patternProperties", {}).values()]
            for suffix, inner in (("", one), *((".NAME", inner) for inner in named)):
                if isinstance(inner, dict) and "$ref" in inner:
                    yield key + suffix, models[inner["$ref"].rpartition("/")[2]]


def section(name: str, model: dict[str, Any], models: dict[str, Any]) -> str:
    """A heading and the table of one section's keys."""
    words, fields = model["description"].partition("Example:")[0], model["properties"]
    title = f"`{name}`" if name else "The run as a whole"
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, field in fields.items():
        meaning = field.get("description", "").replace("<", "&lt;").replace("[", "\\[")
        row = (f"`{key}`", kind(field), default(field), meaning)
        rows.append(f"| {' | '.join(one.replace('|', BAR) for one in row)} |")
    return "\n".join([f"## {title}", "", " ".join(words.split()), "", *rows, ""])


def kind(field: dict[str, Any]) -> str:
    """What a key may hold, in words."""
    if "anyOf" in field:
        kinds = [kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        return "keys of its own, below"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        if "prefixItems" in field:
            return "list of " + ", ".join(kind(one) for one in field["prefixItems"])
        return f"list: {kind(field.get('items', {}))}"
    if field.get("format") == "path":
        return "path"
    return KINDS.get(field.get("type", ""), "any value") + limits(field)


def limits(field: dict[str, Any]) -> str:
    """The range of a number, in words."""
    found = []
    for key, words in (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ):
        if key in field:
            found.append(f"{words} {field[key]:,}")
    return " " + " ".join(found) if found else ""


def default(field: dict[str, Any]) -> str:
    """What holds where a key is left out."""
    value = field.get("default")
    if value is None:
        return ""
    if value in ([], {}):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    PAGE.write_text(config_page(), encoding="utf-8")
    print(f"wrote {PAGE.name}", file=sys.stderr)
