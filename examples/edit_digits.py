"""One picture of each editing operation: reconstruct, morph, transfer, mix identities, inpaint,
frontalize.

Trains a small CVAE-GAN, and an IP-GAN for the last, on digits (half a minute on a CPU) and edits
test images that they have not seen. ``augmentor edit`` does the same with a trained run and files.
"""

from pathlib import Path

import torch
from torch import Tensor

from augmentor.common.types import EncodingSource, IdentitySource, LabelledImages, SampleSource
from augmentor.editing.frontalize import frontalize
from augmentor.editing.inpaint import box_mask, inpaint
from augmentor.editing.morph import morph
from augmentor.editing.reconstruct import reconstruct
from augmentor.editing.transfer import transfer
from augmentor.sampling.mixed_classes import MixedClasses
from augmentor.sampling.synthesize import synthesize
from pipelines.config import DataConfig, SourceConfig
from pipelines.datasets import load_data
from pipelines.generators.in_memory import train_generator
from pipelines.report.pictures import sample_grid


def trained(family: str, images: LabelledImages, steps: int) -> SampleSource:
    """A source of a family, from images of digits."""
    settings = SourceConfig(family=family, steps=steps)
    return train_generator(images, settings, seed=0)


def main(steps: int = 300, folder: Path = Path("runs/edit_digits")) -> dict[str, Tensor]:
    """What each operation made, and as PNG files in the folder: rows of images, float32 (rows, n,
    1, 8, 8).
    """
    bundle = load_data(DataConfig(data="digits"), seed=0)
    source, people = (
        trained("cvae_gan", bundle.train, steps),
        trained("ip_gan", bundle.train, steps),
    )
    # Of the families with an encoder, and of those that take an identity from an image.
    assert isinstance(source, EncodingSource)
    assert isinstance(people, IdentitySource)
    pairs = torch.stack([torch.nonzero(bundle.test.y == c).flatten()[:2] for c in range(10)])
    x, x_other, y = bundle.test.x[pairs[:, 0]], bundle.test.x[pairs[:, 1]], torch.arange(10)

    labels = [transfer(source, x, y, torch.full_like(y, c)) for c in range(10)]
    filled = inpaint(source, x, y, box_mask(8, left=2, top=2, width=4, height=4), rounds=10)
    mixed = MixedClasses(
        source,
        (torch.eye(10) + torch.eye(10).roll(1, dims=1)) / 2,
        tuple(f"{c}+{(c + 1) % 10}" for c in range(10)),
    )
    new = synthesize(mixed, dict.fromkeys(range(10), 8), seed=0)
    rows = {
        "reconstruct": torch.stack([x, reconstruct(source, x, y)], dim=1),
        "morph": morph(source, x, x_other, y, steps=8),
        "transfer": torch.stack([x, *labels], dim=1),
        "inpaint": torch.stack([x, *filled[[0, 1, 5, 10]]], dim=1),
        "mix-identities": new.x.unflatten(0, (10, 8)),
        # A digit's identity is which one it is; slant and weight are those of the photo in the
        # second column.
        "frontalize": torch.stack([x, x[4:5].expand_as(x), frontalize(people, x, x[4:5])], dim=1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in rows.items():
        sample_grid(
            images, bundle.test.classes if name != "mix-identities" else mixed.classes
        ).save(folder / f"{name}.png")
    return rows


if __name__ == "__main__":
    print(f"pictures of {', '.join(main())}: runs/edit_digits")
