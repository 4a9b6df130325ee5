"""What all report pages share: the template engine, axes, numbers in words, pictures inside the
page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor

STRIP_WIDTH = 250
MARGIN = 14
MOST_TICKS = 8


def render_page(template: str, **values: Any) -> str:
    """A page from a template of this package; every value is escaped, and a missing one is an
    error.
    """
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["width"] = STRIP_WIDTH
    environment.globals["policy"] = policy_of
    environment.filters["units"] = together
    environment.filters["unbroken"] = unbroken
    environment.filters["breakable"] = lambda name: name.replace("+", "+\u200b")
    return environment.get_template(template).render(**values)


def together(words: str) -> str:
    """Words in which no line ends before a percent sign or inside a name such as top-1."""
    return re.sub(r"-(?=\d)", "-\u2060", words.replace(" %", "\u00a0%"))


def unbroken(command: str) -> Markup:
    """A command in which no line ends inside the name of an option; its text stays as it is."""
    option = r'<span class="option">\1</span>'
    return Markup(re.sub(r"(?<!\S)(--[\w-]+)", option, str(escape(command))))


def policy_of(style: str, script: str) -> str:
    """A content policy that lets one style sheet and one script through, and pictures inside the
    page; nothing is loaded, sent or framed.

    Args:
        style: The text between the tags of ``style``.
        script: The text between those of ``script``.
    """
    rules = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        rules.append(f"{name} 'sha256-{digest}'")
    return "; ".join(rules)


@dataclass(frozen=True)
class Axis:
    """A map from values to pixels, linear or logarithmic, with round tick values.

    Args:
        low: Value at ``start``.
        high: Value at ``end``.
        ticks: Values to write on the axis.
        start: Pixel of the low end; larger than ``end`` on an axis that points up.
        end: Pixel of the high end.
        logarithmic: Whether equal ratios, not equal differences, are equally far apart.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Position in pixels; a value beyond an end is drawn at that end."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)


def axis_of(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis that holds all values; logarithmic if all are above zero and they span more than a
    factor of four.
    """
    given = list(values) or [0.0, 1.0]
    if min(given) > 0 and max(given) > 4 * min(given):
        ticks = _log_ticks(min(given), max(given))
        return Axis(ticks[0], ticks[-1], ticks, start, end, logarithmic=True)
    return _linear(given, start, end)


def scale_of(values: Iterable[float]) -> Axis:
    """A linear axis that holds all values, across a strip."""
    return _linear(list(values) or [0.0, 1.0], MARGIN, STRIP_WIDTH - MARGIN)


def _linear(values: Sequence[float], start: float, end: float) -> Axis:
    """Ends on round numbers: steps of 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    rough = max(high - low, 1e-3) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(round(k * step, 10) for k in range(first, last + 1))
    return Axis(first * step, last * step, ticks, start, end, logarithmic=False)


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten around a range; powers of ten alone if that gets crowded."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        steps = [factor * 10.0**power for power in powers for factor in factors]
        first = max(index for index, step in enumerate(steps) if step <= low * (1 + 1e-9))
        last = min(index for index, step in enumerate(steps) if step >= high * (1 - 1e-9))
        if last - first < MOST_TICKS:
            break
    return tuple(steps[first : last + 1])


def image_strip(x: Tensor) -> dict[str, Any] | None:
    """Images side by side, with a transparent gap of one pixel, as a PNG in a data URI.

    Args:
        x: Images, shape (N, C, H, W) in [-1, 1], one or three channels.

    Returns:
        ``uri``, ``count``, ``words`` for readers who do not see it, or none, and the ``width`` and
        ``height`` of the strip in pixels; None without images.
    """
    if not len(x):
        return None
    count, _, height, width = x.shape
    pixels = (
        ((x.cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(count, 3, height, width)
    )
    tiles = torch.cat(
        [pixels, torch.full((count, 1, height, width), 255, dtype=torch.uint8)], dim=1
    )
    gap = torch.zeros(4, height, 1, dtype=torch.uint8)
    parts = [part for tile in tiles for part in (tile, gap)][:-1]
    strip = torch.cat(parts, dim=2)
    picture = Image.fromarray(strip.permute(1, 2, 0).contiguous().numpy())
    return picture_strip(picture) | {"count": count}


def picture_strip(picture: Image.Image, words: str = "") -> dict[str, Any]:
    """One picture in the form of ``image_strip``."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    size = {"width": picture.width, "height": picture.height}
    return {"uri": uri, "count": 1, "words": words, **size}


def interval(ends: Sequence[float] | None, shown: Callable[[float], str]) -> str:
    """Both ends of an interval as ``shown`` writes them, a dash for none."""
    return "–" if ends is None else " to ".join(map(shown, ends))


def as_share(ends: Sequence[float]) -> tuple[float, float]:
    """An interval of a share, cut at 0 and 1, where the measure that gave it heeds no bounds."""
    return max(0.0, ends[0]), min(1.0, ends[1])


def plain(value: Any) -> str:
    """A value of a setup in words: lists with commas, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def in_a_row(words: Sequence[str], last: str = "and") -> str:
    """Words as one says them.

    Example:
        >>> in_a_row(["20", "50", "100"]), in_a_row(["a", "b"], last="or")
        ('20, 50 and 100', 'a or b')
    """
    ends = [", ".join(words[:-1]), *words[-1:]]
    return f" {last} ".join(filter(None, ends))


def scored_words(scored_on: str) -> str:
    """What ``scored_on`` of a result means: only where test images were read are they named."""
    return "test images" if scored_on == "test" else scored_on


def limit_words(row: Mapping[str, Any]) -> str:
    """What an undecided comparison needs more of; a screening scores no test images."""
    return str(row["limited_by"]).replace("test images", "scored images")


def p_value(p: float | None) -> str:
    """A p value in three digits, a dash for none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 120
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
