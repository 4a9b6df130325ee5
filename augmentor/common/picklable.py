"""Models as they can be pickled."""

from __future__ import annotations

import copy
from typing import cast

from torch import nn
from torch.nn.utils import parametrize


def picklable(model: nn.Module) -> nn.Module:
    """A copy that renders the same.

    Torch pickles no module with a spectral norm, as a discriminator has. The copy keeps the weights
    as they are now.

    Args:
        model: In evaluation mode.
    """
    plain = copy.deepcopy(model)
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module):
            _with_own_class(module)
            for name in list(cast(nn.ModuleDict, module.parametrizations)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return plain


def _with_own_class(module: nn.Module) -> None:
    """A copy shares the class that torch made for the original, and what is removed from a module
    is removed from its class.
    """
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
