import unittest

from larder.recipe import Ingredient
from larder.units import convert, kind_of


class OuncesAndPounds(unittest.TestCase):
    def test_both_convert_to_grams(self):
        self.assertAlmostEqual(convert(1, "oz", "g"), 28.349523125)
        self.assertAlmostEqual(convert(1, "lb", "g"), 453.59237)

    def test_a_pound_is_sixteen_ounces(self):
        self.assertAlmostEqual(convert(1, "lb", "oz"), 16)

    def test_an_ingredient_may_be_given_in_ounces(self):
        butter = Ingredient.parse("8 oz butter")
        self.assertEqual((butter.name, butter.quantity.amount, butter.quantity.unit), ("butter", 8, "oz"))
        self.assertEqual(kind_of("oz"), "mass")
