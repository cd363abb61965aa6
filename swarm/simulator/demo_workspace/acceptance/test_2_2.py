import unittest

from larder.quantity import Quantity
from larder.recipe import Ingredient


class WrittenFractions(unittest.TestCase):
    def test_a_fraction_is_read(self):
        self.assertEqual(Quantity.parse("1/2 tsp"), Quantity(0.5, "tsp"))
        self.assertEqual(Quantity.parse("3/4 l"), Quantity(0.75, "l"))

    def test_a_mixed_number_is_read_in_an_ingredient(self):
        self.assertEqual(Ingredient.parse("1 1/2 l milk"), Ingredient("milk", Quantity(1.5, "l")))
        self.assertEqual(Ingredient.parse("2 1/2 onions"), Ingredient("onions", Quantity(2.5)))

    def test_nothing_is_divided_by_zero(self):
        with self.assertRaises(ValueError):
            Quantity.parse("1/0 l")

    def test_decimals_mean_what_they_meant(self):
        self.assertEqual(Quantity.parse("1.5 l"), Quantity(1.5, "l"))
        self.assertEqual(Ingredient.parse("3 eggs"), Ingredient("eggs", Quantity(3)))
