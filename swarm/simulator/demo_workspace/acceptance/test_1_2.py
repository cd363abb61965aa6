import unittest

from larder.units import readable


class ReadableUnits(unittest.TestCase):
    def test_large_amounts_get_the_large_unit(self):
        self.assertEqual(readable(1500, "g"), (1.5, "kg"))
        self.assertEqual(readable(1000, "ml"), (1, "l"))

    def test_small_amounts_get_the_small_unit(self):
        self.assertEqual(readable(0.25, "kg"), (250, "g"))
        self.assertEqual(readable(999, "ml"), (999, "ml"))

    def test_other_units_stay(self):
        self.assertEqual(readable(300, "tsp"), (300, "tsp"))
        self.assertEqual(readable(12, ""), (12, ""))
