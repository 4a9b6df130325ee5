"""Which packages an import or a command loads; how long it takes is ``benchmarks/import_time.py``'s
to say.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import augmentor

ROOT = Path(__file__).parents[2]
HEAVY = (
    "albumentations",
    "imblearn",
    "jinja2",
    "matplotlib",
    "rich",
    "scipy",
    "sklearn",
    "sympy",
    "tensorboard",
    "timm",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "torchmetrics",
    "torchvision",
)


def loaded(program: str, watched: tuple[str, ...]) -> list[str]:
    """Those of ``watched`` that a fresh process has imported after ``program``."""
    tell = f"import sys\nprint('loaded:', *(m for m in {watched} if m in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\n{tell}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()[-1].split()[1:]


def test_import_augmentor_loads_nothing_until_a_name_is_used() -> None:
    assert loaded("import augmentor", (*HEAVY, "torch", "numpy", "PIL", "augmentor.api")) == []


def test_the_public_names_load_torch_and_little_else() -> None:
    # GanOverSampler is an estimator of scikit-learn, and needs it.
    program = (
        "import augmentor\n"
        "for name in {*augmentor.__all__} - {'GanOverSampler'}: getattr(augmentor, name)"
    )
    unwanted = (*HEAVY, "click", "pydantic", "yaml", "pipelines", "downstream")
    assert loaded(program, (*unwanted, "torch")) == ["torch"]


def test_check_digits_reads_them_with_numpy_and_torch() -> None:
    program = "from pipelines.cli import main\nassert main(['check', 'digits']) == 0"
    assert loaded(program, (*HEAVY, "safetensors", "downstream.train", "torch")) == ["torch"]


def test_help_loads_no_torch() -> None:
    program = "from pipelines.cli import main\nmain(['--help'])"
    assert loaded(program, (*HEAVY, "torch", "numpy")) == []


@pytest.mark.parametrize("module", ["downstream.rand_augment", "augmentor.quality.memorisation"])
def test_modules_that_need_a_heavy_package_import_it_when_called(module: str) -> None:
    assert loaded(f"import {module}", ("torchvision", "scipy", "torch")) == ["torch"]


def test_public_names_are_declared_once_for_readers_and_once_for_type_checkers() -> None:
    tree = ast.parse((ROOT / "augmentor" / "__init__.py").read_text())
    typing_only = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        (alias.name, node.module)
        for node in typing_only.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {(name, f"augmentor.{module}") for name, module in augmentor._MODULE_OF.items()}
    assert declared == lazy
    assert {name for name, _ in declared} | {"__version__"} == set(augmentor.__all__)
    assert set(augmentor.__all__) <= set(dir(augmentor))


def test_lazy_names_are_the_objects_of_their_modules() -> None:
    from augmentor.sampling.synthesize import synthesize

    assert augmentor.synthesize is synthesize
    assert augmentor.__version__ == version("augmentor-synth")
    with pytest.raises(AttributeError, match="module 'augmentor' has no attribute 'sythesize'"):
        augmentor.sythesize  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(augmentor.__file__).parent / "py.typed").is_file()
