"""What a machine can hold of the style: small lines, few comprehensions, a configuration that stops
at the door of a job."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_COMPREHENSIONS = 25  # per 1,000 lines of pipelines
MOST_CONFIGS = (
    15  # parameters and fields `config: Config` outside of the command line and the doors
)
DOORS = ("_run", "_plan", "within_budget", "setting_of", "dump_config")
LONGEST = 55  # lines of code of a function
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def trees(*packages: str) -> Iterator[tuple[Path, ast.Module, list[str]]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text("utf-8")
            yield path, ast.parse(text), text.split("\n")


def test_comprehensions_are_few_enough_to_read() -> None:
    count = lines = 0
    for _, tree, text in trees("pipelines"):
        count += sum(isinstance(node, COMPREHENSIONS) for node in ast.walk(tree))
        lines += len(text)
    assert 1000 * count / lines < MOST_COMPREHENSIONS


def test_the_configuration_stops_at_the_door_of_a_job() -> None:
    found = []
    for path, tree, _ in trees("pipelines"):
        if "cli" in path.parts:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not node.name.endswith(DOORS):
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    if argument.annotation and ast.unparse(argument.annotation) == "Config":
                        found.append(f"{path.name}:{node.name}")
            is_field = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Config"
            if is_field:
                found.append(f"{path.name}:{node.lineno}")
    assert len(found) <= MOST_CONFIGS, found


def test_functions_fit_on_a_screen() -> None:
    long = []
    for path, tree, text in trees("augmentor", "downstream", "pipelines"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            start = first.end_lineno if is_text else node.lineno
            body = [line.strip() for line in text[start : node.end_lineno]]
            code = [line for line in body if line and not line.startswith("#")]
            if len(code) > LONGEST:
                long.append(f"{path.name}:{node.name} has {len(code)} lines")
    assert long == []


def test_no_seed_is_another_one_plus_a_number() -> None:
    found = []
    for path, tree, _ in trees("augmentor", "downstream", "pipelines"):
        for node in ast.walk(tree):
            is_sum = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
            if is_sum and "seed" in ast.unparse(node.left).lower().rsplit(".", 1)[-1]:
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert found == []
