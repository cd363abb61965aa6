"""From recipes to a shopping list."""

from __future__ import annotations

from collections.abc import Iterable

from larder.recipe import Ingredient, Recipe


def shopping_list(recipes: Iterable[Recipe]) -> list[Ingredient]:
    """Return what all recipes need together, one line for each ingredient, in alphabetical order."""
    needed: dict[tuple[str, str], Ingredient] = {}
    for recipe in recipes:
        for item in recipe.ingredients:
            _add(needed, item)
    return sorted(needed.values(), key=lambda item: item.name)


def _add(needed: dict[tuple[str, str], Ingredient], item: Ingredient) -> None:
    """Add an ingredient to the line of its name and kind: grams of butter do not add up with spoons of it."""
    key = (item.name, item.quantity.kind)
    if key in needed:
        item = Ingredient(item.name, needed[key].quantity + item.quantity)
    needed[key] = item
