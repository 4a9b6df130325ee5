"""How values of a metric, and their differences, are shown to people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """How a value is shown to people.

    Args:
        name: Unit of a difference, such as ``points``.
        factor: What a value is multiplied by.
        digits: Digits behind the decimal point.
        sign: What stands behind a value, such as ``%``.

    Example:
        >>> POINTS.shown(0.8132), POINTS.shown_difference(0.012), NATS.shown(0.5)
        ('81.3 %', '+1.2 points', '0.500 nats')
    """

    name: str
    factor: float
    digits: int
    sign: str

    def number(self, value: float) -> float:
        """The value in this unit, rounded as it is shown; never minus zero."""
        return round(self.factor * value, self.digits) + 0.0

    def plain(self, value: float) -> str:
        """A value as a bare number, for tables whose head names the unit: ``81.3``."""
        return f"{self.number(value):.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference as a bare number with a real minus sign: ``+1.2``.

        What would round to zero has one digit more, so that an interval shows on which side of zero
        it ends.
        """
        size = abs(self.factor * value)
        text = f"{size:.{self.digits}f}"
        if not float(text):
            finer = f"{size:.{self.digits + 1}f}"
            text = finer if float(finer) else text
        return text if not float(text) else ("+" if value > 0 else "−") + text

    def shown(self, value: float) -> str:
        """A value with its sign: ``81.3 %``."""
        return f"{self.number(value):.{self.digits}f} {self.sign}"

    def shown_difference(self, value: float) -> str:
        """A difference of two values with its unit, see ``signed``: ``+1.2 points``."""
        return f"{self.signed(value)} {self.name}"


POINTS = Unit("points", 100, 1, "%")
NATS = Unit("nats", 1, 3, "nats")
