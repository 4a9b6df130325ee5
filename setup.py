"""Put the configs to begin with into the built package; all else stands in ``pyproject.toml``."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path("configs") / "start"
PLACE = Path("pipelines") / "config" / "files"


class BuildWithConfigs(build_py):
    """The usual build, with ``configs/start`` beside the modules that read it."""

    def run(self) -> None:
        """Copy modules and configs; an editable install reads the checkout instead."""
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / PLACE
        place.mkdir(parents=True, exist_ok=True)
        for config in sorted(CONFIGS.glob("*.yaml")):
            self.copy_file(str(config), str(place / config.name))


setup(cmdclass={"build_py": BuildWithConfigs})
