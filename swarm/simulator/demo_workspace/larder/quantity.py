"""An amount of a unit: reading it, adding it up, scaling it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from larder.units import UNITS, convert, kind_of

_QUANTITY = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)")


@dataclass(frozen=True)
class Quantity:
    """So many of a unit; the unit is "" for things that are counted."""

    amount: float
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read "250 g", "1.5 l" or "3"."""
        match = _QUANTITY.fullmatch(text.strip())
        if match is None or match["unit"] not in UNITS:
            raise ValueError(f"{text!r} is not a quantity")
        return cls(float(match["amount"]), match["unit"])

    @property
    def kind(self) -> str:
        return kind_of(self.unit)

    def to(self, unit: str) -> Quantity:
        """Return the same quantity in another unit."""
        return Quantity(convert(self.amount, self.unit, unit), unit)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.to(self.unit).amount, self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount - other.to(self.unit).amount, self.unit)

    def __mul__(self, factor: float) -> Quantity:
        return Quantity(self.amount * factor, self.unit)

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}".rstrip()
