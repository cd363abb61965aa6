import unittest

from larder.units import IncompatibleUnits, UnknownUnit, convert, kind_of


class Units(unittest.TestCase):
    def test_a_kilogram_is_a_thousand_grams(self):
        self.assertEqual(convert(1, "kg", "g"), 1000)

    def test_three_teaspoons_make_a_tablespoon(self):
        self.assertEqual(convert(3, "tsp", "tbsp"), 1)

    def test_grams_do_not_become_litres(self):
        with self.assertRaises(IncompatibleUnits):
            convert(1, "g", "l")

    def test_an_unknown_unit_is_named(self):
        with self.assertRaisesRegex(UnknownUnit, "'firkin'"):
            convert(1, "firkin", "l")

    def test_things_without_a_unit_are_counted(self):
        self.assertEqual(kind_of(""), "count")


if __name__ == "__main__":
    unittest.main()
