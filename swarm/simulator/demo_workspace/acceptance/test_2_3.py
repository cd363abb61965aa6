import unittest

from larder.cookbook import Cookbook
from larder.pantry import Pantry
from larder.quantity import Quantity
from larder.recipe import Recipe

PORRIDGE = Recipe.parse("Porridge", servings=1, ingredients=["50 g oats", "250 ml milk"])
OMELETTE = Recipe.parse("Omelette", servings=1, ingredients=["3 eggs"])
TOAST = Recipe.parse("Toast", servings=1, ingredients=["1 tbsp butter"])


def cookbook(*recipes):
    book = Cookbook()
    for recipe in recipes:
        book.add(recipe)
    return book


class CookableToday(unittest.TestCase):
    def setUp(self):
        self.pantry = Pantry()
        for name, quantity in {"oats": "1 kg", "milk": "0.25 l", "eggs": "2", "butter": "250 g"}.items():
            self.pantry.put(name, Quantity.parse(quantity))

    def titles(self, book):
        return [recipe.title for recipe in book.cookable(self.pantry)]

    def test_only_what_is_there_in_full_can_be_cooked(self):
        self.assertEqual(self.titles(cookbook(PORRIDGE, OMELETTE)), ["Porridge"])

    def test_the_titles_are_in_alphabetical_order(self):
        self.pantry.put("eggs", Quantity(1))
        self.assertEqual(self.titles(cookbook(PORRIDGE, OMELETTE)), ["Omelette", "Porridge"])

    def test_spoons_are_not_compared_with_grams(self):
        self.assertEqual(self.titles(cookbook(TOAST)), [])

    def test_the_newer_recipe_counts(self):
        small = Recipe.parse("Omelette", servings=1, ingredients=["2 eggs"])
        self.assertEqual(cookbook(OMELETTE, small).cookable(self.pantry), [small])
