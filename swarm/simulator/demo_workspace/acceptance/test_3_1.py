import unittest

from larder.pantry import Pantry
from larder.quantity import Quantity
from larder.recipe import Ingredient
from larder.shopping import missing


class WhatThePantryLacks(unittest.TestCase):
    def setUp(self):
        self.pantry = Pantry()
        self.pantry.put("flour", Quantity(400, "g"))

    def missing(self, *lines):
        return missing([Ingredient.parse(line) for line in lines], self.pantry)

    def test_the_difference_is_bought(self):
        (flour,) = self.missing("1 kg flour")
        self.assertEqual((flour.name, flour.quantity.unit), ("flour", "kg"))
        self.assertAlmostEqual(flour.quantity.amount, 0.6)

    def test_enough_is_enough(self):
        self.assertEqual(self.missing("400 g flour", "0.1 kg flour"), [])

    def test_spoons_are_not_compared_with_grams(self):
        self.assertEqual([str(item) for item in self.missing("2 tbsp flour", "3 eggs")], ["2 tbsp flour", "3 eggs"])

    def test_the_pantry_keeps_what_it_held(self):
        self.missing("1 kg flour")
        self.assertEqual(self.pantry.stock("flour"), Quantity(400, "g"))
