"""The configs to begin with: the files of ``configs/start``, which an installed package holds
too.
"""

from __future__ import annotations

from pathlib import Path

from augmentor.common.atomic_files import write_text
from pipelines.config.section import ConfigError
from pipelines.config.whole import Config, parse_config

PLACES = (Path(__file__).parent / "files", Path(__file__).parents[2] / "configs" / "start")
"""Where they lie: in an installed package, in a checkout."""


def start_texts() -> dict[str, str]:
    """The text of every config by its name, in the order of the names.

    The first line of each is the command that runs it.

    Example:
        >>> start_texts()["digits"].splitlines()[0]
        '# augmentor train configs/start/digits.yaml'
    """
    folder = next((place for place in PLACES if place.is_dir()), PLACES[0])
    files = sorted(folder.glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def start_config(name: str) -> Config:
    """One of these configs.

    Args:
        name: Of its file, without ``.yaml``.

    Raises:
        ConfigError: If there is none of this name; names those that exist.

    Example:
        >>> start_config("digits").data.data
        'digits'
    """
    texts = start_texts()
    if name not in texts:
        raise ConfigError(f"no config is called {name!r}; known: {', '.join(texts)}")
    return parse_config(texts[name], f"configs/start/{name}.yaml")


def write_start_configs(folder: Path) -> dict[Path, bool]:
    """Write every config into a folder; files that exist stay as they are.

    Args:
        folder: Made if absent.

    Returns:
        By file, whether it was written now.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, text in start_texts().items():
        file = folder / f"{name}.yaml"
        written[file] = not file.exists()
        if written[file]:
            write_text(file, text)
    return written
