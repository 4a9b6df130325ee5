"""What a run is: one YAML file, read strictly into frozen models. The field descriptions document
the keys.

A file per section; ``whole`` puts them together, reads and writes.
"""

from pipelines.config.classifier import ClassifierConfig
from pipelines.config.compare import CompareConfig, VariantConfig
from pipelines.config.data import (
    GENERATED_SIZES,
    IMAGE_SIZES,
    DataConfig,
    data_root,
)
from pipelines.config.engine import EngineConfig
from pipelines.config.gain import GainConfig
from pipelines.config.policy import PolicyConfig
from pipelines.config.pool import PoolConfig
from pipelines.config.section import ConfigError
from pipelines.config.semi import SemiConfig
from pipelines.config.source import SourceConfig
from pipelines.config.verify import VerifyConfig
from pipelines.config.whole import Config, config_from, dump_config, load_config, parse_config

__all__ = [
    "GENERATED_SIZES",
    "IMAGE_SIZES",
    "ClassifierConfig",
    "CompareConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "EngineConfig",
    "GainConfig",
    "PolicyConfig",
    "PoolConfig",
    "SemiConfig",
    "SourceConfig",
    "VariantConfig",
    "VerifyConfig",
    "config_from",
    "data_root",
    "dump_config",
    "load_config",
    "parse_config",
]
