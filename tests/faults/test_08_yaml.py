"""Configs that surprise: exit code 2 with the key and the file, or the value a reader of the file
would expect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream.classifier import build_classifier
from pipelines import cli
from pipelines.config import Config
from pipelines.strict_yaml import LARGEST_FILE

Tally = Callable[[int, int, str], None]

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, "
    f"*{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "tag that runs a program": (
        "data: !!python/object/apply:os.system ['touch {sentinel}']",
        "line 1: tag",
    ),
    "tag of an object": ("seed: !!python/object/new:pathlib.Path [x]", "line 1: tag"),
    "tag of a plain type": ("seed: !!int '3'", "line 1: tag"),
    "alias bomb": (BOMB, "line 1: anchors and aliases"),
    "alias": ("data: &x {size: 8}\nsource: *x", "line 1: anchors and aliases"),
    "merge key": ("data: {<<: {size: 8}}", "data.<<"),
    "duplicate section": (
        "source: {steps: 1}\ndata: {}\nsource: {steps: 2}",
        "line 3: key 'source' is given twice",
    ),
    "duplicate key": ("source:\n  steps: 1\n  steps: 2", "line 3: key 'steps' is given twice"),
    "unknown section": ("sauce: {steps: 1}", "unknown key 'sauce' (did you mean 'source'?)"),
    "unknown key": ("source: {stepz: 1}", "unknown key 'source.stepz' (did you mean 'steps'?)"),
    "key of another section": ("data: {steps: 1}", "unknown key 'data.steps'"),
    "no as a number": ("seed: no", "seed: Input should be a valid integer, found 'no'"),
    "yes as a switch": (
        "data: {grey: yes}",
        "data.grey: Input should be a valid boolean, found 'yes'",
    ),
    "number with a unit": ("source: {steps: 10k}", "source.steps"),
    "number in quotes": (
        "source: {steps: '10'}",
        "source.steps: Input should be a valid integer, found '10'",
    ),
    "octal number": ("seed: 010", "seed: Input should be a valid integer, found '010'"),
    "number with underscores": ("source: {steps: 1_000}", "source.steps"),
    "fraction for a whole number": ("source: {steps: 1.5}", "source.steps"),
    "1e4 for a whole number": (
        "source: {steps: 1e4}",
        "source.steps: Input should be a valid integer",
    ),
    "five thousand digits": ("seed: " + "9" * 5000, "seed: Input should be a valid integer"),
    "infinity": ("classifier: {weight_decay: 1e999}", "classifier.weight_decay"),
    "not a number": ("classifier: {weight_decay: .nan}", "classifier.weight_decay"),
    "list for a section": ("data: [digits]", "data: must be a section of keys"),
    "text for a section": ("source: cvae_gan", "source: must be a section of keys"),
    "list for a file": ("- seed: 1", "must be a mapping"),
    "two documents": ("seed: 1\n---\nseed: 2", "line 2"),
    "not closed": ("data: {size: 8", "line 1"),
    "tabs": ("data:\n\tsize: 8", "line 2"),
    "nested too deeply": ("seed: " + "[" * 20_000, "nested too deeply"),
    "control characters": ("out: a\x1b[2J", "f.yaml"),
    "ten megabytes": (
        "# " + "x" * 10_000_000,
        f"too large for a config (more than {LARGEST_FILE} bytes)",
    ),
    "one value of 300 kB": (
        "seed: " + "x" * 300_000,
        "seed: Input should be a valid integer, found 'xxx",
    ),
}
RIGHT = {
    "1e-4": ("classifier: {learning_rate: 1e-4}", "classifier", "learning_rate", 1e-4),
    "2E-4": ("classifier: {learning_rate: 2E-4}", "classifier", "learning_rate", 2e-4),
    "a whole number for a number": (
        "classifier: {weight_decay: 1}",
        "classifier",
        "weight_decay",
        1.0,
    ),
    "no as a word": ("classifier: {name: no}", "classifier", "name", "no"),
    "off as a word": ("classifier: {name: off}", "classifier", "name", "off"),
    "null": ("data: {size: null}", "data", "size", None),
    "a date as a word": ("classifier: {name: 2024-01-01}", "classifier", "name", "2024-01-01"),
    "a sexagesimal number as a word": ("classifier: {name: 1:30}", "classifier", "name", "1:30"),
    "an option's number": (
        "source: {options: {weight_kl: 1e-3}}",
        "source",
        "options",
        {"weight_kl": 1e-3},
    ),
    "line ends of another system": ("source:\r\n  steps: 7\r\n", "source", "steps", 7),
    "a mark of the byte order": ("\ufeffsource: {steps: 7}", "source", "steps", 7),
    "a decomposed name": ("classifier: {name: cafe\u0301}", "classifier", "name", "cafe\u0301"),
}


def dry_run(path: Path, text: str, *options: str) -> int:
    path.write_bytes(text.encode("utf-8"))
    return cli.main(["train", str(path), "--dry-run", "--json", *options])


def test_what_surprises_is_refused_with_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    path, sentinel, failed = tmp_path / "f.yaml", tmp_path / "sentinel", []
    for name, (text, words) in REFUSED.items():
        code = dry_run(path, text.replace("{sentinel}", str(sentinel)))
        out, err = capsys.readouterr()
        if (
            code != 2
            or out
            or "f.yaml" not in err
            or words not in err
            or err.count("\n") != 1
            or len(err) > 2000
        ):
            failed.append((name, code, err[:300]))
    tally(
        len(REFUSED),
        len(REFUSED) - len(failed),
        "config that surprises: exit 2, one line with file and key",
    )
    assert not failed
    assert not sentinel.exists()


def test_what_looks_right_has_the_value_it_looks_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    failed = []
    for name, (text, section, key, value) in RIGHT.items():
        code = dry_run(tmp_path / "f.yaml", text, "--data", "digits")
        out, err = capsys.readouterr()
        found = json.loads(out)[section][key] if code == 0 else err
        if found != value or type(found) is not type(value):
            failed.append((name, found))
    tally(
        len(RIGHT), len(RIGHT) - len(failed), "config that other readers misread: the right value"
    )
    assert not failed


def test_a_value_of_another_type_is_refused_for_every_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    """No key takes a list of lists of mappings, so this must be noticed for each of them."""
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    keys = [
        f"{section}.{key}" if key else section
        for section, model in sections.items()
        for key in (*getattr(model, "model_fields", ()), "")
    ]
    failed = []
    for key in keys:
        section, _, inner = key.partition(".")
        text = f"{section}: {{{inner}: [[{{}}]]}}" if inner else f"{section}: [[{{}}]]"
        code = dry_run(tmp_path / "f.yaml", text)
        err = capsys.readouterr().err
        if code != 2 or f"f.yaml: {key}" not in err:
            failed.append((key, code, err[:300]))
    tally(
        len(keys),
        len(keys) - len(failed),
        "config value of another type, every key: exit 2 with the key",
    )
    assert len(keys) > 50
    assert not failed


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/model", "hf_hub:someone/model", "local-dir:/some/model", "../resnet18"]
)
def test_no_classifier_comes_from_elsewhere(name: str) -> None:
    """The name of a network is the one key of a config that timm looks up."""
    with pytest.raises(ValueError, match="timm has no network"):
        build_classifier(name, 2, (1, 8, 8), seed=0)
