"""What the other packages need to know of a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from augmentor.common.conditions import NO_CONDITIONS, Conditions


@dataclass(frozen=True)
class Family:
    """A generative model, its training, and the named sets of its options.

    Args:
        model: Makes the networks, a ``SampleSource``, of (classes, image_shape, options).
        trainer: Makes a ``training.loop.Trainer`` of a model.
        presets: Options by name; ``default`` is always there. Their class is that of the family's
            options.
        takes_conditions: Whether the model takes ``conditions`` as its fourth argument, and the
            trainer's step the conditions of a batch.
        across_processes: Whether several processes can share the batches of a training.
    """

    model: Callable[..., Any]
    trainer: Callable[..., Any]
    presets: Mapping[str, Any]
    takes_conditions: bool = False
    across_processes: bool = False

    def build(
        self,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        options: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> Any:
        """The untrained model.

        Raises:
            ValueError: If there are conditions and the family knows classes alone.
        """
        if not conditions:
            return self.model(classes, image_shape, options)
        if not self.takes_conditions:
            raise ValueError("the family knows classes alone, no conditions")
        return self.model(classes, image_shape, options, conditions)

    def options_for(self, preset: str, overrides: Mapping[str, Any]) -> Any:
        """The options of a preset, some of them replaced.

        Raises:
            ValueError: If the preset or an option is unknown, or a value is not what the option
                takes; the message names what is.
        """
        if preset not in self.presets:
            raise ValueError(f"unknown preset {preset!r}; known: {sorted(self.presets)}")
        chosen = self.presets[preset]
        known = get_type_hints(type(chosen))
        if unknown := set(overrides) - set(known):
            raise ValueError(f"unknown options {sorted(unknown)}; known: {sorted(known)}")
        return replace(
            chosen,
            **{name: _checked(name, value, known[name]) for name, value in overrides.items()},
        )


def _checked(name: str, value: Any, kind: Any) -> Any:
    """``value`` as the option ``name`` takes it. An option is a switch, a count, a number >= 0 or a
    word.
    """
    if get_origin(kind) is Literal:
        allowed = " or ".join(map(str, get_args(kind)))
        fits = isinstance(value, str) and value in get_args(kind)
    elif kind is float:
        allowed, below = "a number, 0 or more", float("inf")
        if name.endswith("_decay"):  # the part of a moving mean that is kept
            allowed, below = "a number, 0 or more and below 1", 1.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and 0 <= value < below
    elif kind is int:
        allowed = "a whole number, 1 or more"
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    else:
        allowed = {bool: "true or false", str: "text"}[kind]
        fits = isinstance(value, kind)
    if not fits:
        raise ValueError(f"option {name} must be {allowed}, found {value!r}")
    return float(value) if kind is float else value
