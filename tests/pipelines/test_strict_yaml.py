from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from pipelines.strict_yaml import YamlError, parse_yaml, validated


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E5", 2e5),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("012", "012"),
        ("1_000", "1_000"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("'7'", "7"),
        (".inf", ".inf"),
    ],
)
def test_yaml_words_mean_what_they_look_like(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}", where="x")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "f.yaml, line 2: key 'a' is given twice"),
        ("b: {a: 1, a: 2}", "f.yaml, line 1: key 'a' is given twice"),
        ("a: &x 1", "f.yaml, line 1: anchors and aliases"),
        ("a: 1\nb: *a", "f.yaml, line 2: anchors and aliases"),
        ("a: !!python/name:os.system x", "f.yaml, line 1: tag"),
        ("? [1, 2]\n: 3", "f.yaml, line 1: a key must be a word"),
        ("- 1", "must be a mapping"),
        ("a: [1", "f.yaml, line 1"),
        ("a: 1\n---\nb: 2", "f.yaml, line 2"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: \x00", "f.yaml"),
    ],
)
def test_yaml_refuses_what_surprises(text: str, problem: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text, where="f.yaml")
    assert problem in str(caught.value)


class Kettle(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    litres: int = 1
    lid: Literal["on", "off"] = "on"


class Kitchen(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    kettles: dict[str, Kettle] = {}


def test_any_model_is_validated_with_key_and_known_keys() -> None:
    assert (
        validated(Kitchen, {"kettles": {"red": {"litres": 2}}}, "k.yaml").kettles["red"].litres == 2
    )
    for mapping, message in (
        (
            {"kettles": {"red": {"liters": 2}}},
            "k.yaml: unknown key 'kettles.red.liters' (did you mean 'litres'?); "
            "known keys here: litres, lid",
        ),
        ({"pots": 1}, "k.yaml: unknown key 'pots'; known keys here: kettles"),
        (
            {"kettles": {"red": {"lid": "x" * 300}}},
            f"k.yaml: kettles.red.lid: Input should be 'on' or 'off', found '{'x' * 199}…",
        ),
    ):
        with pytest.raises(YamlError) as caught:
            validated(Kitchen, mapping, "k.yaml")
        assert str(caught.value) == message
