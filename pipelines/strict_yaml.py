"""YAML files, read strictly into pydantic models, with errors that name file, line and key."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from augmentor.common.given_files import read_text

LARGEST_FILE = 1_000_000
MOST_VALUES = 10_000
"""Keys and values of one document: about half a second's work for the parser."""
MOST_DEPTH = 50
"""Levels of mappings and lists in one document; the keys of a config need six."""
MOST_PROBLEMS = 10
"""Mistakes that one message names."""
LONGEST_SHOWN = 200
PLAIN = {
    "model_type": "must be a section of keys",
    "dict_type": "must be a mapping of keys",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "path_type": "must be a path",
    "missing": "is missing",
}
"""What pydantic says in words of Python, by its type of error."""

Model = TypeVar("Model", bound=BaseModel)


class YamlError(ValueError):
    """A document cannot be used; the message names where it is from, and the line or the key."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of at most a megabyte as ``parse_yaml`` does.

    Raises:
        YamlError: If it is missing, too large, not UTF-8, or not the plain YAML of ``parse_yaml``.
    """
    try:
        text = read_text(path, LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) == errno.EFBIG:
            raise YamlError(
                f"{path}: too large for a config (more than {LARGEST_FILE} bytes)"
            ) from error
        raise YamlError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Read the plain part of YAML: mappings, lists, strings, numbers, true, false and null.

    Anchors, aliases, tags and repeated keys are refused; ``1e-4`` is a number, ``no`` a word, and
    so is a number of more than 300 digits, which no key takes.

    Raises:
        YamlError: With ``where`` and the line.
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader that reads less
    except yaml.YAMLError as error:
        raise YamlError(f"{where}{_yaml_problem(error)}") from error
    if not isinstance(value, dict | None):
        raise YamlError(
            f"{where}: must be a mapping such as 'seed: 0', found {type(value).__name__}"
        )
    return value or {}


def validated(model: type[Model], mapping: Mapping[str, Any], where: str) -> Model:
    """Check a nested mapping and turn it into ``model``.

    Raises:
        YamlError: Naming ``where``, the key, and the known keys or the allowed range.
    """
    try:
        return model.model_validate(dict(mapping))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        problems = [_explain(one, where, model) for one in found[:MOST_PROBLEMS]]
        if len(found) > MOST_PROBLEMS:
            problems.append(f"and {len(found) - MOST_PROBLEMS} more")
        raise YamlError("; ".join(problems)) from error


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without what surprises: see ``parse_yaml``."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (declared so by PyYAML)
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    values = 0
    """Keys and values read so far."""
    depth = 0
    """Mappings and lists around the one that is read."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.values += 1
        if self.values > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_VALUES} keys and values", problem_mark=event.start_mark
            )
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed", problem_mark=event.start_mark
            )
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem=f"tag {event.tag} is not allowed", problem_mark=event.start_mark
            )
        self._require_shallow(self.depth, event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def fetch_flow_collection_start(self, kind: Any) -> None:
        """Of ``[`` and ``{``: the scanner's own work grows with the square of the depth."""
        self._require_shallow(self.flow_level, self.get_mark())
        super().fetch_flow_collection_start(kind)

    def _require_shallow(self, depth: int, mark: yaml.Mark) -> None:
        if depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested too deeply, more than {MOST_DEPTH} levels", problem_mark=mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a word", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,299})$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f": {' '.join(str(error).split())}"
    return f", line {error.problem_mark.line + 1}: {error.problem}"


def _explain(error: Any, where: str, model: type[BaseModel]) -> str:
    """One of pydantic's errors as a sentence with file, key and known keys."""
    location: Sequence[str | int] = error["loc"]
    key = ".".join(str(part) for part in location if not str(part).startswith("constrained-"))
    if error["type"] != "extra_forbidden":
        message = PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))
        return f"{where}: {key}: {message}" + (
            f", found {_brief(error['input'])}" if error["type"] != "value_error" else ""
        )
    known = _known_keys(model, location[:-1])
    key = key if len(key) <= LONGEST_SHOWN else f"{key[:LONGEST_SHOWN]}…"
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{where}: unknown key {key!r}{hint}; known keys here: {', '.join(known)}"


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    here: Any = model
    for part in location:
        here = (
            here.model_fields[str(part)].annotation
            if hasattr(here, "model_fields")
            else _values_of(here)
        )
    return list(here.model_fields)


def _values_of(annotation: Any) -> Any:
    """The type of the values of ``dict[…] | None``."""
    mapping = next(kind for kind in (annotation, *get_args(annotation)) if get_origin(kind) is dict)
    return get_args(mapping)[1]
