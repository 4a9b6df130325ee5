"""What the tests of all families' steps share."""

from __future__ import annotations

import torch

from augmentor.families import FAMILIES

CLASSES = ("a", "b", "c")
SMALL = {"width": 4, "latent_dim": 6, "bfloat16": False, "search_steps": 10, "layers": 2}


def trainer_for(family, preset="default", seed=0, **overrides):
    torch.manual_seed(seed)
    chosen = FAMILIES[family]
    return chosen.trainer(
        chosen.model(CLASSES, (1, 8, 8), chosen.options_for(preset, small(family) | overrides))
    )


def small(family):
    """Options that make a family small and quick, those of them that it has."""
    return {
        name: value
        for name, value in SMALL.items()
        if hasattr(FAMILIES[family].presets["default"], name)
    }


def batch(n=12, seed=0):
    """Dark noise; class c has a bright row 2c."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=rng) * 0.2 - 1
    x[torch.arange(n), 0, y * 2] = 1.0
    return x, y


def step(trainer, seed=0):
    return trainer.step(*batch(), rng=torch.Generator().manual_seed(seed))


def changed(before, after):
    """Names of the networks of which a parameter differs."""
    networks = dict(after.named_children())
    return {name for name, network in before.named_children() if differs(network, networks[name])}


def differs(network, other):
    return any(
        not torch.equal(p, q) for p, q in zip(network.parameters(), other.parameters(), strict=True)
    )


def only(trainer, players):
    """The trainer with all rates zero but those of the players named."""
    for name, optimiser in trainer.players.optimisers.items():
        for group in optimiser.param_groups:
            group["lr"] *= name in players
    return trainer


def largest_gradients(trainer):
    """Largest gradient every network learns from in one step."""
    found = {}
    for name, optimiser in trainer.players.optimisers.items():
        parameters = list(trainer.model.get_submodule(name).parameters())

        def note(*_, name=name, parameters=parameters):
            found[name] = max(float(p.grad.abs().max()) for p in parameters if p.grad is not None)

        optimiser.register_step_pre_hook(note)
    step(trainer)
    return found
