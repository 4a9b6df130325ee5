"""The top of the library: a trained source from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.picklable import picklable
from augmentor.common.types import (
    DataError,
    EncodingSource,
    IdentitySource,
    Record,
    SampleSource,
    conditional,
    conditions_of,
    device_of,
)
from augmentor.data.array_form import class_name
from augmentor.data.candidates import BATCH_SIZE, encode, latents
from augmentor.data.class_names import class_index
from augmentor.families import FAMILIES
from augmentor.training.checkpoint import Checkpoint, load_checkpoint

OneCondition = str | float | Sequence[float]
"""One condition as a user writes it: the name of a category, or a number per column; of a single
column the number itself too."""


def describe(family: str, model: Any) -> dict[str, Any]:
    """What ``build`` needs to make the like of ``model``, as JSON values."""
    found = {
        "family": family,
        "classes": list(model.classes),
        "image_shape": list(model.image_shape),
        "options": asdict(model.options),
    }
    if conditions := conditions_of(model):
        found["conditions"] = asdict(conditions)
    return found


def build(description: dict[str, Any]) -> Any:
    """The untrained model that ``describe`` described.

    Raises:
        DataError: If this version does not know the family or an option of it, the list of class
            names is missing, or the images are not square.
    """
    name = description["family"]
    if name not in FAMILIES:
        raise DataError(f"the source is of the family {name!r}, which this version does not know")
    try:
        options = FAMILIES[name].options_for("default", description["options"])
    except ValueError as error:
        raise DataError(
            f"the source, a {name}, has options this version does not know: {error}"
        ) from error
    classes, image_shape = description["classes"], tuple(description["image_shape"])
    if (
        not isinstance(classes, list)
        or not classes
        or not all(isinstance(one, str) for one in classes)
    ):
        raise DataError("the source has no list of class names")
    whole = all(type(side) is int and side >= 1 for side in image_shape)
    if len(image_shape) != 3 or not whole or image_shape[1] != image_shape[2]:
        raise DataError(f"the source has images of the shape {image_shape}")
    conditions = _conditions(description.get("conditions"))
    try:
        return FAMILIES[name].build(tuple(classes), image_shape, options, conditions)
    except ValueError as error:
        raise DataError(f"the source, a {name}, cannot be built: {error}") from error


def _conditions(stored: Any) -> Conditions:
    """The conditions of a description.

    Raises:
        DataError: If they are not what ``describe`` writes.
    """
    if stored is None:
        return NO_CONDITIONS
    try:
        return Conditions(**{key: tuple(value) for key, value in stored.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"the source has conditions that cannot be read: {error}") from error


def load(path: str | Path, device: str | torch.device = "cpu") -> Source:
    """Load a trained source.

    Args:
        path: Folder of a run, of its checkpoints, or of one checkpoint.
        device: Where it is to render.

    Returns:
        The averaged model of the newest intact checkpoint; an ``EncodingSource`` if its family has
        an encoder, an ``IdentitySource`` if it takes identities from images.

    Raises:
        DataError: If no checkpoint is intact; the message names the files.
    """
    folder = Path(path)
    checkpoints = folder / "checkpoints"
    return source_of(load_checkpoint(checkpoints if checkpoints.is_dir() else folder), device)


def source_of(checkpoint: Checkpoint, device: str | torch.device = "cpu") -> Source:
    """The averaged model in a checkpoint.

    Raises:
        DataError: If the checkpoint is of no source: it describes none, or another one than its
            weights are of.
    """
    try:
        _require_weights_of(checkpoint)
        model = build(checkpoint.meta)
        model.load_state_dict(checkpoint.state["average"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise DataError(
            f"the checkpoint of step {checkpoint.step} holds no source ({error}); train again"
        ) from error
    model.to(device, memory_format=torch.channels_last).eval()
    return source_from(model, _record(checkpoint))


def source_from(model: Any, record: Record | None = None) -> Source:
    """A trained model as the kind of source that it is."""
    if isinstance(model, IdentitySource):
        return RenderSource(model, record)
    if isinstance(model, EncodingSource):
        return EncoderSource(model, record)
    return Source(model, record)


def _record(checkpoint: Checkpoint) -> Record | None:
    """None for a checkpoint that does not tell what was seen."""
    seen = checkpoint.state.get("facts", {}).get("trained_on")
    if seen is None:
        return None
    meta = dict(checkpoint.meta)
    return Record(meta, checkpoint.step, seen.numpy(), meta.pop("counts", None))


def described_weights(description: dict[str, Any]) -> dict[str, torch.Size]:
    """Names and shapes of the weights of the network that ``build`` makes; takes no memory."""
    with torch.device("meta"):
        return {name: one.shape for name, one in build(description).state_dict().items()}


def _require_weights_of(checkpoint: Checkpoint) -> None:
    """Compare description and weights before memory is taken: a file from elsewhere may describe a
    network of any size.

    Raises:
        ValueError: If they are not of one network.
    """
    described = described_weights(checkpoint.meta)
    if described != {name: weight.shape for name, weight in checkpoint.state["average"].items()}:
        raise ValueError("its weights are not those of the network it describes")


class Source:
    """A trained model as a ``SampleSource``, which can also be asked for a class by its name.

    Args:
        model: The model; rendering happens where it lives.
        record: What is known of its training.
    """

    def __init__(self, model: SampleSource, record: Record | None = None) -> None:
        self.model, self.record = model, record

    def __reduce__(self) -> tuple[Any, ...]:
        model = picklable(self.model) if isinstance(self.model, nn.Module) else self.model
        return type(self), (model, self.record)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; position is index."""
        return self.model.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images rendered."""
        return self.model.image_shape

    @property
    def latent_dim(self) -> int:
        """Length of one latent."""
        return self.model.latent_dim

    @property
    def conditions(self) -> Conditions:
        """What the source knows beside the class; falsy if it knows the class alone."""
        return conditions_of(self.model)

    @property
    def device(self) -> torch.device:
        """Where the images are rendered."""
        return device_of(self.model)

    @overload
    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor: ...

    @overload
    def sample(
        self, *, label: str, n: int, seed: int = 0, condition: OneCondition | None = None
    ) -> Tensor: ...

    def sample(
        self,
        y: Tensor | None = None,
        z: Tensor | None = None,
        condition: Tensor | OneCondition | None = None,
        *,
        label: str | int = "",
        n: int = 1,
        seed: int = 0,
    ) -> Tensor:
        """Render by latents, as ``types.SampleSource.sample``, or ``n`` images of the class
        ``label``.

        Args:
            y: Classes (N,) or weights of classes (N, K), with ``z``.
            z: Latents (N, latent_dim), with ``y``.
            condition: With ``y``, one per image, as ``types.ConditionalSource.sample`` takes them;
                with ``label``, one for all: the name of a category, or a number per column.
            label: Name of the class; of classes that are numbers, the number.
            n: How many images, 0 or more.
            seed: Which images; the first n of a longer draw are the same but for rounding.

        Returns:
            Images, float32 (N, C, H, W) in [-1, 1], on the device of the source, wherever the
            inputs are.

        Raises:
            ValueError: If only one of ``y`` and ``z`` is given, or neither they nor a label, or the
                class is unknown; the message says what is missing, or names the known classes.
        """
        if y is not None and z is not None:
            y, z = y.to(self.device), z.to(self.device)
            if condition is None:
                return self.model.sample(y, z)
            given = torch.as_tensor(condition).to(self.device)
            return conditional(self.model).sample(y, z, given)
        if y is not None or z is not None:
            raise ValueError(
                f"sample needs y and z together; {'z' if z is None else 'y'} is missing"
            )
        return self._of_class(label, n, seed, condition)

    def _of_class(self, label: str | int, n: int, seed: int, condition: Any) -> Tensor:
        if n < 0:
            raise ValueError(f"n must be 0 or more, got {n}")
        index = class_index(class_name(label), self.classes)
        if index is None:
            problem = "sample needs y and z, or a label"
            if label != "":
                problem = f"unknown class {label!r}"
            raise ValueError(f"{problem}; known classes: {', '.join(self.classes)}")
        images = [torch.empty(0, *self.image_shape, device=self.device)]
        for start in range(
            0, n, BATCH_SIZE
        ):  # all at once would need memory for the activations of n images
            z = latents(seed, index, start, min(BATCH_SIZE, n - start), self.latent_dim).to(
                self.device
            )
            y = torch.full((len(z),), index, device=self.device)
            if condition is None:
                images.append(self.model.sample(y, z))
            else:
                source = conditional(self.model)
                images.append(source.sample(y, z, self.conditions.repeated(condition, len(z))))
        return torch.cat(images)


class EncoderSource(Source):
    """A ``Source`` whose model has an encoder.

    Args:
        model: The model; rendering happens where it lives.
        record: What is known of its training.
    """

    def __init__(self, model: EncodingSource, record: Record | None = None) -> None:
        super().__init__(model, record)
        self.encoding = model

    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.EncodingSource.encode``; of a source with conditions it takes these too."""
        x, y = x.to(self.device), y.to(self.device)
        return encode(self.encoding, x, y, None if condition is None else condition.to(self.device))


class RenderSource(EncoderSource):
    """A ``Source`` whose model takes identities from images.

    Args:
        model: The model; rendering happens where it lives.
        record: What is known of its training.
    """

    def __init__(self, model: IdentitySource, record: Record | None = None) -> None:
        super().__init__(model, record)
        self.rendering = model

    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        """See ``types.IdentitySource.render``."""
        where = self.device
        return self.rendering.render(identity_image.to(where), attribute_image.to(where))
