"""Ingredients and recipes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from larder.quantity import Quantity


@dataclass(frozen=True)
class Ingredient:
    """A quantity of something."""

    name: str
    quantity: Quantity

    @classmethod
    def parse(cls, line: str) -> Ingredient:
        """Read "250 g flour" or "3 eggs"."""
        words = line.split()
        # The longest beginning that is a quantity: "2 tbsp oil" before "2".
        for count in range(min(2, len(words) - 1), 0, -1):
            try:
                quantity = Quantity.parse(" ".join(words[:count]))
            except ValueError:
                continue
            return cls(" ".join(words[count:]), quantity)
        raise ValueError(f"{line!r} is not an ingredient")

    def scaled(self, factor: float) -> Ingredient:
        return replace(self, quantity=self.quantity * factor)

    def __str__(self) -> str:
        return f"{self.quantity} {self.name}"


@dataclass(frozen=True)
class Recipe:
    """What goes into a dish for so many servings, and what to do with it."""

    title: str
    servings: int
    ingredients: tuple[Ingredient, ...]
    steps: tuple[str, ...] = field(default=())

    @classmethod
    def parse(cls, title: str, *, servings: int, ingredients: list[str], steps: list[str] | None = None) -> Recipe:
        """Make a recipe of lines of text."""
        return cls(title, servings, tuple(Ingredient.parse(line) for line in ingredients), tuple(steps or ()))

    def scaled(self, servings: int) -> Recipe:
        """Return the recipe for another number of servings."""
        if servings < 1:
            raise ValueError("a recipe serves at least one")
        factor = servings / self.servings
        return replace(self, servings=servings, ingredients=tuple(item.scaled(factor) for item in self.ingredients))
