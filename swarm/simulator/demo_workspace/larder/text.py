"""How amounts and recipes are printed."""

from __future__ import annotations

from larder.recipe import Recipe


def format_recipe(recipe: Recipe) -> str:
    """Return a recipe as a page of text."""
    lines = [recipe.title, "=" * len(recipe.title), f"Serves {recipe.servings}", ""]
    lines += [f"- {item}" for item in recipe.ingredients]
    if recipe.steps:
        lines.append("")
        lines += [f"{number}. {step}" for number, step in enumerate(recipe.steps, start=1)]
    return "\n".join(lines) + "\n"
