import unittest

from larder.text import format_amount


class KitchenFractions(unittest.TestCase):
    def test_halves_and_quarters_are_fractions(self):
        self.assertEqual([format_amount(amount) for amount in (1.5, 0.25, 2)], ["1 1/2", "1/4", "2"])

    def test_the_nearest_eighth_is_taken(self):
        self.assertEqual([format_amount(amount) for amount in (0.37, 0.74, 3.13)], ["3/8", "3/4", "3 1/8"])

    def test_nearly_a_whole_is_a_whole(self):
        self.assertEqual([format_amount(amount) for amount in (0.97, 1.99)], ["1", "2"])

    def test_nearly_nothing_is_nothing(self):
        self.assertEqual([format_amount(amount) for amount in (0, 0.01)], ["0", "0"])
