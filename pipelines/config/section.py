"""What all sections of a configuration are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

FilePath = Annotated[Path, Field(strict=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Augmentation = Literal["none", "classical", "trivialaugment", "randaugment"]
MOST_REPEATS = 10_000
"""Replicates, rounds, subsets or workers of one run: a plan names every one of them."""
MOST_SAMPLES = 1_000_000
"""Images that a measurement renders."""
RowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]  # also that of a folder


def _number_or_auto(value: Any) -> Any:
    if value != "auto" and not (type(value) is int and 1 <= value <= MOST_REPEATS):
        raise ValueError(f"must be auto or a whole number from 1 to {MOST_REPEATS:,}")
    return value


_KINDS = [{"type": "integer", "minimum": 1, "maximum": MOST_REPEATS}, {"const": "auto"}]
Processes = Annotated[
    int | Literal["auto"], PlainValidator(_number_or_auto), WithJsonSchema({"anyOf": _KINDS})
]
"""Workers of a job; one validator, as the two kinds would each give an error."""
AUTO = (
    "a whole number, or auto: as many as the CPU has cores (divided by threads where that is "
    "given) and as memory allows; 1 on a GPU; one for each task on a Ray cluster. From Python 1 "
    "unless told otherwise."
)
"""What ``Processes`` may be, for the description of a key."""


class ConfigError(ValueError):
    """A config or an option cannot be used; the message names the file and the key."""


class Section(BaseModel):
    """Frozen, strict, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
