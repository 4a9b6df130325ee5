"""The optimisers of a family's networks, and what a trainer of such networks keeps between
steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from augmentor.common import ranks
from augmentor.common.halt import Halt


def adam(network: nn.Module, learning_rate: float, beta1: float, beta2: float = 0.999) -> Adam:
    """Adam for all weights of one network."""
    return Adam(network.parameters(), lr=learning_rate, betas=(beta1, beta2), fused=True)


class Players:
    """Networks that learn from losses of their own, each with its optimiser.

    Args:
        model: Holds the networks as submodules.
        optimisers: By the submodule's name.
    """

    def __init__(self, model: nn.Module, optimisers: dict[str, Optimizer]) -> None:
        self.model, self.optimisers = model, optimisers
        self.halt: Halt | None = None

    def stop_by(self, halt: Halt) -> None:
        """From the first gradient on that is not finite move nothing more, whatever is asked for.

        Raises:
            ValueError: If an optimiser cannot be held.
        """
        for optimiser in self.optimisers.values():
            halt.holds(optimiser)
        self.halt = halt

    def descend(self, losses: dict[tuple[str, ...], Tensor]) -> None:
        """Give every loss's gradient to the networks named and to no other, then move all that were
        named.
        """
        for names, loss in losses.items():
            inputs = [p for name in names for p in self.model.get_submodule(name).parameters()]
            loss.backward(inputs=inputs, retain_graph=True)  # type: ignore[no-untyped-call]
        named = {name: None for names in losses for name in names}
        for name in named:
            ranks.average_gradients(self.model.get_submodule(name).parameters())
        if self.halt is not None:
            self.halt.see(self._gradients(named))
        for name in named:
            self.optimisers[name].step()
            self.optimisers[name].zero_grad(set_to_none=True)

    def _gradients(self, names: Iterable[str]) -> list[Tensor]:
        weights = (p for name in names for p in self.model.get_submodule(name).parameters())
        return [p.grad for p in weights if p.grad is not None]

    def state_dict(self) -> dict[str, Any]:
        """The optimisers' states by name."""
        return {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[name])


class Resumable:
    """A trainer whose next step depends on its model and on the optimisers of its ``players``, on
    nothing else.
    """

    players: Players

    def state(self) -> dict[str, Any]:
        """Everything beside the model that the next step depends on, as nested dicts of tensors and
        numbers.
        """
        return {"optimisers": self.players.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""
        self.players.load_state_dict(state["optimisers"])


def adam_players(model: nn.Module, rates: dict[str, float], beta1: float) -> Players:
    """Players that all learn by Adam: submodule names of ``model`` to learning rates, one first
    decay for all.
    """
    return Players(
        model, {name: adam(model.get_submodule(name), rate, beta1) for name, rate in rates.items()}
    )
