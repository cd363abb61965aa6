import unittest

from larder.recipe import Ingredient
from larder.shopping import by_aisle

AISLES = {"flour": "baking", "salt": "baking", "milk": "dairy", "apples": "vegetables"}


def grouped(*lines):
    groups = by_aisle([Ingredient.parse(line) for line in lines], AISLES)
    return [(aisle, [item.name for item in items]) for aisle, items in groups.items()]


class Aisles(unittest.TestCase):
    def test_every_aisle_keeps_the_order_of_the_list(self):
        self.assertEqual(
            grouped("20 g salt", "1 l milk", "1 kg flour"),
            [("baking", ["salt", "flour"]), ("dairy", ["milk"])],
        )

    def test_unknown_ingredients_come_last(self):
        self.assertEqual(
            grouped("1 kg nails", "3 apples", "1 l milk"),
            [("dairy", ["milk"]), ("vegetables", ["apples"]), ("other", ["nails"])],
        )

    def test_an_empty_list_has_no_aisles(self):
        self.assertEqual(grouped(), [])
