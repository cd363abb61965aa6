"""What is in stock."""

from __future__ import annotations

from larder.quantity import Quantity


class OutOfStock(Exception):
    """More was to be taken than there is."""


class Pantry:
    """Quantities by name; an absent name is an empty shelf."""

    def __init__(self) -> None:
        self._stock: dict[str, Quantity] = {}

    def put(self, name: str, quantity: Quantity) -> None:
        """Add to what is there."""
        held = self._stock.get(name)
        self._stock[name] = quantity if held is None else held + quantity

    def take(self, name: str, quantity: Quantity) -> None:
        """Remove a quantity, or raise `OutOfStock` and leave everything as it is."""
        held = self._stock.get(name)
        if held is None or held.amount < quantity.to(held.unit).amount:
            raise OutOfStock(f"there is not enough {name}")
        self._stock[name] = held - quantity

    def stock(self, name: str) -> Quantity | None:
        """Return what is there under a name, None if there never was any."""
        return self._stock.get(name)

    def names(self) -> list[str]:
        """Return the names in stock, in alphabetical order."""
        return sorted(name for name, quantity in self._stock.items() if quantity.amount > 0)
