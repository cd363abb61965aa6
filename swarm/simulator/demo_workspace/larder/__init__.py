"""Recipes, a pantry, and the shopping list that follows from both."""
