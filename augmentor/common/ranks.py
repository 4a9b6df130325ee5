"""One training in several processes, each with its share of every batch.

Processes train together inside of ``joined`` alone, whatever else a program uses
``torch.distributed`` for; elsewhere a process is rank 0 of 1, and every function here returns what
it was given. The processes draw the randomness of the whole batch and keep their own rows, so that
together they take the step that one process would take.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import ReduceOp

T = TypeVar("T")

_together = False  # whether this process is inside of ``joined``


def group() -> tuple[int, int]:
    """The number of this process and how many there are, in whatever ``torch.distributed`` is used
    for; (0, 1) without it.
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def size() -> int:
    """How many processes train together."""
    return group()[1] if _together else 1


def rank() -> int:
    """The number of this process, from 0."""
    return group()[0] if _together else 0


def started_first() -> bool:
    """Whether this process is the only one or the first that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def own_rows(whole: Tensor, dim: int = 0) -> Tensor:
    """The rows of a tensor of the whole batch that belong to this process.

    Args:
        whole: Rows of all processes, one after another along ``dim``.
        dim: Which dimension holds the rows; its length is a multiple of ``size()``.

    Example:
        >>> own_rows(torch.arange(4)).tolist()  # alone
        [0, 1, 2, 3]
    """
    if size() == 1:
        return whole
    return whole.chunk(size(), dim=dim)[rank()]


def all_rows(own: Tensor) -> Tensor:
    """The rows of all processes, (size * N, ...); without gradient."""
    if size() == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(parts, own.detach().contiguous())
    return torch.cat(parts)


def total(own: Tensor) -> Tensor:
    """The sum of a tensor over all processes; gradients go to all of them."""
    return own if size() == 1 else _Total.apply(own)


def mean(own: Tensor) -> Tensor:
    """The mean of a tensor over all processes; gradients go to all of them."""
    return own if size() == 1 else total(own) / size()


def average_gradients(weights: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over all processes, in place."""
    if size() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= size()
    new = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean_of_all in zip(gradients, new, strict=True):
        gradient.copy_(mean_of_all.view_as(gradient))


def most(number: int) -> int:
    """The largest of a number over all processes, so that all decide alike."""
    if size() == 1:
        return number
    found = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(found, ReduceOp.MAX)
    return int(found)


def of_first(make: Callable[[], T]) -> T:
    """What rank 0 makes; the others wait for it and get a copy.

    Raises:
        Exception: In every process what ``make`` raised in the first.
    """
    if size() == 1:
        return make()
    sent: list[Any] = [None, None]
    if rank() == 0:
        try:
            sent[0] = make()
        except Exception as error:
            sent[1] = error
    dist.broadcast_object_list(sent)
    if sent[1] is not None:
        raise sent[1]
    found: T = sent[0]
    return found


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Train together with the other processes that ``torchrun`` started, or those of the group that
    there is; alone without either.

    Args:
        device: Where to train; ``cuda`` is the GPU of this process's number on its machine.
    """
    global _together  # as torch's process group, it belongs to the process
    before, own_group = _together, group()[1] == 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if own_group:
        _start(device)
    _together = True
    try:
        yield
    finally:
        _together = before
        if own_group:
            dist.destroy_process_group()


def _start(device: str) -> None:
    """Find the other processes that ``torchrun`` started."""
    on_gpus = device.startswith("cuda")
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpus else "gloo")


class _Total(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        found = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.apply(gradient)  # type: ignore[no-any-return]
