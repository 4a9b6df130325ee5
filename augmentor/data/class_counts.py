"""How many synthetic images of which class: imbalanced-learn's words, resolved once to ``{class:
n_to_add}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from torch import Tensor

from augmentor.common.given_files import parse_json, read_text
from augmentor.common.types import DataError
from augmentor.data.class_names import class_index, listed

Strategy = str | int | float | Mapping[str, int] | Mapping[int, int]
"""What a user may ask for; see ``resolve_counts``."""

WORDS = ("auto", "minority", "not-majority", "not-minority", "all")


def resolve_counts(
    strategy: Strategy, counts: Mapping[int, int], classes: Sequence[str]
) -> dict[int, int]:
    """Turn a class balance strategy into the number of images to add to every class.

    Let n_c be the images of class c and n_max those of the largest class.

    - ``"auto"``: every class but the largest up to n_max (imbalanced-learn's default).
    - ``"not-majority"``: the same as ``"auto"``.
    - ``"all"``: every class up to n_max; the largest has that already.
    - ``"minority"``: the smallest class up to n_max (all of them if several are smallest).
    - ``"not-minority"``: every class but the smallest up to n_max.
    - int n: every class up to n images in all; larger classes get none.
    - float r > 0: every class up to r n_max, rounded; larger classes get none.
    - ``{class: n}``: the classes named, by name or index, up to n images in all; no other class.

    ``"not majority"`` with a blank, as imbalanced-learn writes it, is the same word. ``1`` is one
    image in all, ``1.0`` is a ratio. NumPy's numbers are as good as Python's.

    Args:
        strategy: As above.
        counts: Real images of every class by index; classes without images have 0 or are left out.
        classes: Class names; position is index.

    Returns:
        Images to add for every class index, zeros included, never negative.

    Raises:
        ValueError: If the strategy is unknown or out of range, names an unknown class or one class
            twice, or asks for fewer images of a class than there are.
    """
    real = {c: int(counts.get(c, 0)) for c in range(len(classes))}
    if isinstance(strategy, Mapping):
        wanted = _explicit_totals(strategy, real, classes)
    elif isinstance(strategy, str):
        wanted = _totals_of_word(strategy, real)
    else:
        wanted = dict.fromkeys(real, _common_total(strategy, max(real.values(), default=0)))
    return {c: max(0, wanted.get(c, 0) - n) for c, n in real.items()}


def read_strategy(text: str) -> Strategy:
    """Read a strategy as written on a command line.

    Args:
        text: A word of ``resolve_counts``, a whole number (images per class), a number with a point
            (ratio), or the path of a JSON file ``{"class": n}``.

    Returns:
        The strategy, for ``resolve_counts``.

    Raises:
        ValueError: If the text is none of these.
        DataError: If the file is missing or holds something else.
    """
    if text.endswith(".json"):
        return _read_totals(Path(text))
    if _word(text) in WORDS:
        return _word(text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(
        f"unknown class balance {text!r}: use {', '.join(WORDS)}, a number, a ratio or a .json file"
    )


def fill_combinations(counts: Tensor, total: int | None = None) -> Tensor:
    """Images to add so that every combination of class and condition has equally many.

    Args:
        counts: Real images, int64 (K, B): of every class under every condition.
        total: Images of a combination in all; the most that one has unless given.

    Returns:
        int64 (K, B), never negative; 0 for a condition that no class was seen in.

    Raises:
        ValueError: If the total is negative.

    Example:
        >>> import torch
        >>> fill_combinations(torch.tensor([[3, 1, 0], [0, 2, 0]]))
        tensor([[0, 2, 0],
                [3, 1, 0]])
    """
    if total is not None and total < 0:
        raise ValueError(f"a total must not be negative, got {total}")
    wanted = int(counts.max()) if total is None else total
    occurring = counts.sum(dim=0) > 0
    return (wanted - counts).clamp(min=0) * occurring


def fill_up(
    counts: Mapping[int, int], budget: int, available: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Spend a budget of images on the smallest classes first, so that the sum is as even as it can
    be.

    Args:
        counts: Real images of every class.
        budget: Images to add in all, at least 0.
        available: The most that can be added to a class; default no limit. A class left out has 0.

    Returns:
        Images to add for every class; the sum is ``budget``, or all that is available if that is
        less. Of two equal classes the lower index gets the odd image.

    Raises:
        ValueError: If ``budget`` is negative.
    """
    if budget < 0:
        raise ValueError(f"budget must not be negative, got {budget}")
    room = {c: budget if available is None else min(available.get(c, 0), budget) for c in counts}
    budget = min(budget, sum(room.values()))
    level = _water_level(counts, room, budget)
    added = {c: _up_to(level, n, room[c]) for c, n in counts.items()}
    for c in sorted(counts):
        if sum(added.values()) == budget:
            break
        added[c] += added[c] < room[c] and counts[c] + added[c] == level
    return added


def _totals_of_word(strategy: str, real: dict[int, int]) -> dict[int, int]:
    smallest, largest = min(real.values(), default=0), max(real.values(), default=0)
    match _word(strategy):
        case "auto" | "not-majority" | "all":
            chosen = list(real)
        case "minority":
            chosen = [c for c, n in real.items() if n == smallest]
        case "not-minority":
            chosen = [c for c, n in real.items() if n != smallest]
        case _:
            raise ValueError(
                f"unknown class balance {strategy!r}: use {', '.join(WORDS)}, a number, a ratio "
                "or a dict"
            )
    return dict.fromkeys(chosen, largest)


def _common_total(strategy: int | float, largest: int) -> int:
    number = isinstance(strategy, Real) and not isinstance(strategy, bool)
    if not number or not math.isfinite(strategy) or strategy < 0:
        raise ValueError(
            f"class balance must be a word, a number per class, a ratio or a dict, got {strategy!r}"
        )
    return int(strategy) if isinstance(strategy, Integral) else int(float(strategy) * largest + 0.5)


def _explicit_totals(
    strategy: Mapping[str, int] | Mapping[int, int], real: dict[int, int], classes: Sequence[str]
) -> dict[int, int]:
    totals: dict[int, int] = {}
    keys: dict[int, str | int] = {}
    for key, total in strategy.items():
        c = _class_index(key, classes)
        if c in totals:
            raise ValueError(f"class {classes[c]!r} is named twice, as {keys[c]!a} and as {key!a}")
        if not _is_whole(total) or total < real[c]:
            raise ValueError(
                f"class {classes[c]!r} has {real[c]} images: ask for at least as many in all, got "
                f"{total!r}"
            )
        totals[c], keys[c] = int(total), key
    return totals


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _class_index(key: str | int, classes: Sequence[str]) -> int:
    if isinstance(key, str) and (index := class_index(key, classes)) is not None:
        return index
    if not isinstance(key, str) and _is_whole(key) and 0 <= key < len(classes):
        return int(key)
    raise ValueError(f"unknown class {key!r}: known are {listed(classes)}")


def _read_totals(path: Path) -> dict[str, int]:
    try:
        totals = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(totals, dict) or not all(type(n) is int for n in totals.values()):
        raise DataError(
            f'{path}: must be a JSON object of whole numbers, as in {{"cat": 100, "dog": 80}}'
        )
    return totals


def _water_level(counts: Mapping[int, int], room: dict[int, int], budget: int) -> int:
    """The highest count to which all classes can be raised within the budget, by bisection."""
    low, high = 0, max(counts.values(), default=0) + budget + 1
    while high - low > 1:
        middle = (low + high) // 2
        cost = sum(_up_to(middle, n, room[c]) for c, n in counts.items())
        low, high = (middle, high) if cost <= budget else (low, middle)
    return low


def _up_to(level: int, count: int, room: int) -> int:
    return min(max(level - count, 0), room)


def _word(text: str) -> str:
    return text.strip().lower().replace(" ", "-")
