"""The whole configuration of a run: all sections, read from YAML and written as YAML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from pipelines.config.classifier import ClassifierConfig
from pipelines.config.compare import CompareConfig
from pipelines.config.data import DataConfig
from pipelines.config.engine import EngineConfig
from pipelines.config.gain import GainConfig
from pipelines.config.pool import PoolConfig
from pipelines.config.section import ConfigError, FilePath, Section
from pipelines.config.semi import SemiConfig
from pipelines.config.source import (
    FAMILY_OF_CONDITIONS,
    LATENTS_OF_CONDITIONS,
    SourceConfig,
)
from pipelines.config.verify import VerifyConfig
from pipelines.strict_yaml import YamlError, parse_yaml, read_yaml, validated


class Config(Section):
    """One run."""

    data: DataConfig = DataConfig()
    source: SourceConfig = SourceConfig()
    pool: PoolConfig = PoolConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    gain: GainConfig = GainConfig()
    semi: SemiConfig = SemiConfig()
    compare: CompareConfig = CompareConfig()
    verify: VerifyConfig = VerifyConfig()
    engine: EngineConfig = EngineConfig()
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of everything random.")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, mps.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of each worker; default: the cores shared out among the workers, "
        "for one worker torch's own choice.",
    )
    out: FilePath | None = Field(
        default=None,
        description="Folder of the run; default: runs/NAME of the config file (of its folder, for "
        "config.yaml); with --data runs/DATA for train, else with the name of the job behind it.",
    )

    def with_family(self) -> Config:
        """The same, with the generator that suits data with conditions where it names none."""
        named = self.source.model_fields_set.intersection(("family", "preset"))
        if named or not self.data.condition:
            return self
        options = LATENTS_OF_CONDITIONS | self.source.options
        change = {"family": FAMILY_OF_CONDITIONS, "options": options}
        return self.model_copy(update={"source": self.source.model_copy(update=change)})


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        ConfigError: If the file is not readable by ``read_yaml``, or has unknown keys or values out
            of range.
    """
    with _as_config_errors():
        mapping = read_yaml(Path(path))
    return config_from(mapping, where=str(path))


def parse_config(text: str, where: str) -> Config:
    """Read a config from the text of a file; ``where`` names it in messages.

    Raises:
        ConfigError: As ``load_config``.
    """
    with _as_config_errors():
        mapping = parse_yaml(text, where)
    return config_from(mapping, where)


def config_from(mapping: Mapping[str, Any], where: str = "config") -> Config:
    """Check a nested mapping and turn it into a ``Config``.

    Raises:
        ConfigError: Naming ``where``, the key, and the known keys or the allowed range.
    """
    with _as_config_errors():
        return validated(Config, mapping, where)


def dump_config(config: Config, without: Collection[str] = ()) -> str:
    """The config as YAML that ``parse_config`` reads back: equal if no text has controls, and no
    section is left out.
    """
    values = config.model_dump(mode="json", exclude=set(without))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


@contextmanager
def _as_config_errors() -> Iterator[None]:
    try:
        yield
    except YamlError as error:
        raise ConfigError(str(error)) from error
