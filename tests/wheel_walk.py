"""Install the wheel into an empty environment outside of the checkout, and walk through the README
there: ``python -m tests.wheel_walk [WHEEL]``.

The config, the photos and the judge of ``evaluate`` are the small ones of the tests.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.readme_walk import BLOCKS, SMALL_CONFIG, make_photos

ROOT = Path(__file__).parents[1]
LOOK = """
from importlib.metadata import version
from pathlib import Path
import sys
import augmentor, downstream, pipelines
for package in (augmentor, downstream, pipelines):
    folder = Path(package.__file__)
    assert folder.is_relative_to(sys.prefix), f"{package.__name__} is read from {folder}"
assert (Path(augmentor.__file__).parent / "py.typed").is_file(), "py.typed is missing"
assert version("augmentor-synth") == augmentor.__version__
"""

SHORT_JUDGE = """
import sys
from pipelines.cli import main
from pipelines.config import ClassifierConfig
from pipelines.evaluate.run import evaluate_run
from pipelines.generators.quality import EvaluateSettings
short = ClassifierConfig(steps=4)
evaluate_run.__kwdefaults__["settings"] = EvaluateSettings(judge=short, student=short)
sys.exit(main(sys.argv[1:]))
"""


def main() -> None:
    """Build the wheel unless one is given, install it, and run every block of the README."""
    with tempfile.TemporaryDirectory() as place:
        there = Path(place)
        wheel = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else built(there)
        timed("install", lambda: install(wheel, there / "venv"))
        folder = there / "walk"
        folder.mkdir()
        make_photos(folder / "photos")
        walk(folder, there / "venv" / "bin")


def built(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    run("build", "--quiet", "--out-dir", str(folder), str(ROOT))  # sdist, then wheel from it
    return next(folder.glob("*.whl"))


def install(wheel: Path, environment: Path) -> None:
    """Make an environment that holds the wheel and what it asks for, in the tested versions."""
    run("venv", "--quiet", "--python", sys.executable, str(environment))
    tested = ["-c", str(ROOT / "constraints.txt")]
    run("pip", "install", "--quiet", "--python", str(environment), *tested, str(wheel))


def run(*arguments: str) -> None:
    """Run uv."""
    subprocess.run([str(Path(sys.executable).with_name("uv")), *arguments], check=True)


def walk(folder: Path, programs: Path) -> None:
    """Run every block of the README in ``folder`` with the programs of an environment."""
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    # Or each start would compile all that it imports.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # Threads that wait for each other spin, which takes many times as long beside other work.
    environment.setdefault("OMP_NUM_THREADS", "1")

    def step(*words: str) -> None:
        shown = shlex.join(words).splitlines()[0]
        command = [str(programs / words[0]), *words[1:]]
        timed(shown, lambda: subprocess.run(command, cwd=folder, env=environment, check=True))

    step("python", "-c", LOOK)
    step("augmentor", "configs", "--out", "configs/start")
    config = folder / "configs" / "start" / "digits.yaml"
    assert config.is_file(), "the wheel lacks the configs to begin with"
    config.write_text(SMALL_CONFIG, encoding="utf-8")
    greeting, *blocks = BLOCKS
    for language, text in [*blocks, greeting]:  # the first lines load what the walk trains
        if language == "python":
            step("python", "-c", text)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["augmentor", "evaluate"]:
                step("python", "-c", SHORT_JUDGE, *words[1:])
            elif words and words[0] == "augmentor":
                step(*words)


def timed(what: str, call: Callable[[], object]) -> None:
    """Call, and tell how long it took."""
    start = time.perf_counter()
    call()
    print(f"== {time.perf_counter() - start:5.1f} s  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
