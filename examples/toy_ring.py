"""Points from a ring of eight modes: GAN, WGAN, WGAN-GP, feature matching and VAE + feature
matching, one budget.

The toy example of the CVAE-GAN paper (Bao et al. 2017, section 4.1): which objective finds all
modes, and how soon? Every method has the same generator, the same discriminator and as many updates
of the generator; a WGAN's critic learns five times as often, as in its paper. Prints a table, draws
the points over training time; a minute or two a seed on a CPU. Seeds are arguments: ``python
examples/toy_ring.py 10 11 12``; one run takes seed 0.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import RMSprop

from augmentor.families.players import Players, adam
from augmentor.losses.adversarial import fake_loss, generator_loss, real_loss
from augmentor.losses.feature_matching import half_squared_distance, mean_feature_matching
from augmentor.losses.gradient_penalty import gradient_penalty
from augmentor.losses.vae import kl_divergence, reparameterise

MODES, SIGMA, LATENT_DIM, HIDDEN, BATCH = 8, 0.05, 4, 128, 256
ANGLES = torch.arange(MODES) * (2 * math.pi / MODES)
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
Step = Callable[[Players, Tensor, torch.Generator], None]


class Toy(nn.Module):
    """The networks of all methods; the discriminator also serves as a critic, its last hidden layer
    as features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = dense(2, 2 * LATENT_DIM)
        self.generator = dense(LATENT_DIM, 2)
        self.discriminator = nn.Sequential(
            dense(2, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1)
        )

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,) and features (N, HIDDEN) of points (N, 2)."""
        features = self.discriminator[1](self.discriminator[0](x))
        return self.discriminator[2](features).squeeze(1), features


def dense(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    hidden = [
        nn.Linear(inputs, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
    ]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, outputs))


def real_points(n: int, noise: torch.Generator) -> Tensor:
    """Points (n, 2) of the ring."""
    return CENTRES[torch.randint(MODES, (n,), generator=noise)] + SIGMA * torch.randn(
        n, 2, generator=noise
    )


def latents(n: int, noise: torch.Generator) -> Tensor:
    """Standard normal latents (n, LATENT_DIM)."""
    return torch.randn(n, LATENT_DIM, generator=noise)


def learn_to_tell(players: Players, x: Tensor, *generated: Tensor) -> None:
    """The discriminator's update by cross entropy."""
    toy = players.model
    loss_d = real_loss(toy.judge(x)[0], "non_saturating").mean()
    for points in generated:
        loss_d = loss_d + fake_loss(toy.judge(points.detach())[0], "non_saturating").mean() / len(
            generated
        )
    players.descend({("discriminator",): loss_d})


def gan(players: Players, x: Tensor, noise: torch.Generator) -> None:
    """The non-saturating game."""
    x_fake = players.model.generator(latents(BATCH, noise))
    learn_to_tell(players, x, x_fake)
    logits, _ = players.model.judge(x_fake)
    players.descend({("generator",): generator_loss(logits, "non_saturating").mean()})


def fm_gan(players: Players, x: Tensor, noise: torch.Generator) -> None:
    """The same discriminator; the generator matches the mean of its features."""
    toy = players.model
    x_fake = toy.generator(latents(BATCH, noise))
    learn_to_tell(players, x, x_fake)
    features_real, features_fake = (
        toy.judge(x)[1].detach().mean(dim=0),
        toy.judge(x_fake)[1].mean(dim=0),
    )
    players.descend({("generator",): mean_feature_matching(features_real, features_fake)})


def vae_fm(players: Players, x: Tensor, noise: torch.Generator) -> None:
    """With an encoder: pairs are matched in points and features, prior samples by the mean (the
    paper's losses).
    """
    toy = players.model
    mu, logvar = toy.encoder(x).chunk(2, dim=1)
    x_rec = toy.generator(reparameterise(mu, logvar, latents(BATCH, noise)))
    x_fake = toy.generator(latents(BATCH, noise))
    learn_to_tell(players, x, x_rec, x_fake)
    features_real, features_rec, features_fake = (
        toy.judge(points)[1] for points in (x, x_rec, x_fake)
    )
    features_real = features_real.detach()
    loss_pairs = (
        half_squared_distance(x, x_rec).mean()
        + half_squared_distance(features_real, features_rec).mean()
    )
    loss_mean = mean_feature_matching(features_real.mean(dim=0), features_fake.mean(dim=0))
    loss_kl = 0.01 * kl_divergence(mu, logvar).mean()
    players.descend({("encoder",): loss_kl + loss_pairs, ("generator",): loss_pairs + loss_mean})


def wgan(players: Players, x: Tensor, noise: torch.Generator) -> None:
    """Five updates of a critic whose weights are clipped."""
    for _ in range(5):
        players.descend(
            {("discriminator",): critic_loss(players.model, real_points(BATCH, noise), noise)[0]}
        )
        with torch.no_grad():
            for weight in players.model.discriminator.parameters():
                weight.clamp_(-0.1, 0.1)
    descend_the_critic(players, noise)


def wgan_gp(players: Players, x: Tensor, noise: torch.Generator) -> None:
    """Five updates of a critic whose slope is drawn to one."""
    toy = players.model
    for _ in range(5):
        real = real_points(BATCH, noise)
        loss, x_fake = critic_loss(toy, real, noise)
        mix = torch.rand(BATCH, generator=noise)
        penalty = gradient_penalty(lambda points: toy.judge(points)[0], real, x_fake, mix).mean()
        players.descend({("discriminator",): loss + penalty})
    descend_the_critic(players, noise)


def critic_loss(toy: Toy, x: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """The critic's values of generated points less those of real ones, and the generated points."""
    x_fake = toy.generator(latents(BATCH, noise)).detach()
    real_values, fake_values = toy.judge(x)[0], toy.judge(x_fake)[0]
    return real_loss(real_values, "wasserstein").mean() + fake_loss(
        fake_values, "wasserstein"
    ).mean(), x_fake


def descend_the_critic(players: Players, noise: torch.Generator) -> None:
    """The generator's update in either WGAN."""
    values, _ = players.model.judge(players.model.generator(latents(BATCH, noise)))
    players.descend({("generator",): generator_loss(values, "wasserstein").mean()})


METHODS: dict[str, Step] = {
    "GAN": gan,
    "WGAN": wgan,
    "WGAN-GP": wgan_gp,
    "FM-GAN": fm_gan,
    "VAE+FM": vae_fm,
}


def train(method: str, steps: int, looks: list[int], seed: int = 0) -> list[Tensor]:
    """Train one method; 2000 generated points after each of the numbers of steps in ``looks``."""
    torch.manual_seed(seed)
    toy, noise = Toy(), torch.Generator().manual_seed(seed)
    networks = dict(toy.named_children())
    if method == "WGAN":
        players = Players(
            toy, {name: RMSprop(network.parameters(), 5e-4) for name, network in networks.items()}
        )
    else:
        players = Players(
            toy,
            {name: adam(network, 5e-4, beta1=0.5, beta2=0.9) for name, network in networks.items()},
        )
    seen = []
    for step in range(1, steps + 1):
        METHODS[method](players, real_points(BATCH, noise), noise)
        if step in looks:
            seen.append(toy.generator(latents(2000, torch.Generator().manual_seed(1))).detach())
    return seen


def score(points: Tensor) -> tuple[int, float]:
    """Modes found, and the share of good points: those within three sigma of a mode.

    A mode is found if it has at least a quarter of the good points that would be its share.
    """
    distances, nearest = torch.cdist(points, CENTRES).min(dim=1)
    good = distances < 3 * SIGMA
    counts = torch.bincount(nearest[good], minlength=MODES)
    return int((counts >= len(points) / MODES / 4).sum()), float(good.float().mean())


def draw(points: dict[str, list[Tensor]], looks: list[int], path: Path) -> None:
    """A row a method, a column a look; grey rings are the modes."""
    figure = Figure(figsize=(1.7 * len(looks), 1.8 * len(points)), layout="constrained")
    axes = figure.subplots(len(points), len(looks), squeeze=False)
    for row, (method, seen) in zip(axes, points.items(), strict=True):
        for axis, look, cloud in zip(row, looks, seen, strict=True):
            axis.scatter(*CENTRES.T, s=130, facecolors="none", edgecolors="0.7")
            axis.scatter(*cloud[:500].T, s=1.5, alpha=0.6)
            axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect="equal")
            found, good = score(cloud)
            axis.set_xlabel(f"{found} modes, {good:.0%} good", fontsize=7)
            axis.set_title(f"{look} steps" if axis in axes[0] else "", fontsize=8)
        row[0].set_ylabel(method)
    figure.savefig(path, dpi=120)


def main(
    steps: int = 2500, seeds: Sequence[int] = (0,), picture: Path | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Train all methods; modes found and share of good points at the end, for every seed. The first
    one is drawn.
    """
    looks = sorted({max(1, steps * share // 40) for share in (1, 4, 10, 20, 40)})
    results: dict[str, list[tuple[int, float]]] = {method: [] for method in METHODS}
    for seed in seeds:
        points = {method: train(method, steps, looks, seed) for method in METHODS}
        if picture is not None and seed == seeds[0]:
            draw(points, looks, picture)
        for method, seen in points.items():
            results[method].append(score(seen[-1]))
    return results


def table(results: dict[str, list[tuple[int, float]]]) -> str:
    """Markdown, a row a method."""
    head = ["| method | modes of 8, every seed | good points, every seed |", "|---|---|---|"]
    rows = [
        f"| {name} | {' '.join(str(modes) for modes, _ in found)} | "
        f"{' '.join(f'{good:.0%}' for _, good in found)} |"
        for name, found in results.items()
    ]
    return "\n".join(head + rows)


if __name__ == "__main__":
    chosen = [int(seed) for seed in sys.argv[1:]] or [0]
    print(table(main(seeds=chosen, picture=Path("toy_ring.png"))))
    print("\nPoints over training time: toy_ring.png")
