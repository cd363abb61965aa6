import unittest

from larder.quantity import Quantity
from larder.recipe import Ingredient, Recipe
from larder.text import format_recipe

PANCAKES = Recipe.parse(
    "Pancakes",
    servings=4,
    ingredients=["250 g flour", "500 ml milk", "3 eggs"],
    steps=["Whisk everything.", "Fry in butter."],
)


class Recipes(unittest.TestCase):
    def test_an_ingredient_is_read_from_a_line(self):
        self.assertEqual(Ingredient.parse("2 tbsp olive oil"), Ingredient("olive oil", Quantity(2, "tbsp")))
        self.assertEqual(Ingredient.parse("3 eggs"), Ingredient("eggs", Quantity(3)))

    def test_a_line_without_an_amount_is_refused(self):
        with self.assertRaises(ValueError):
            Ingredient.parse("salt")

    def test_a_recipe_scales_with_its_servings(self):
        double = PANCAKES.scaled(8)
        self.assertEqual(double.servings, 8)
        self.assertEqual([str(item) for item in double.ingredients], ["500 g flour", "1000 ml milk", "6 eggs"])

    def test_a_recipe_for_nobody_is_refused(self):
        with self.assertRaises(ValueError):
            PANCAKES.scaled(0)

    def test_a_recipe_is_printed_as_a_page(self):
        page = format_recipe(PANCAKES)
        self.assertTrue(page.startswith("Pancakes\n========\nServes 4\n\n- 250 g flour\n"))
        self.assertTrue(page.endswith("\n1. Whisk everything.\n2. Fry in butter.\n"))


if __name__ == "__main__":
    unittest.main()
