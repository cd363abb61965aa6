import unittest
from datetime import date

from larder.pantry import Pantry
from larder.quantity import Quantity

MONDAY, TUESDAY, FRIDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 6)


class BestBefore(unittest.TestCase):
    def setUp(self):
        self.pantry = Pantry()
        self.pantry.put("milk", Quantity(1, "l"), TUESDAY)
        self.pantry.put("cream", Quantity(200, "ml"), MONDAY)
        self.pantry.put("flour", Quantity(1, "kg"))

    def test_the_earliest_comes_first(self):
        self.assertEqual(self.pantry.expiring(FRIDAY), ["cream", "milk"])

    def test_the_day_itself_counts(self):
        self.assertEqual(self.pantry.expiring(MONDAY), ["cream"])

    def test_the_earlier_of_two_dates_counts(self):
        self.pantry.put("milk", Quantity(1, "l"), FRIDAY)
        self.assertEqual(self.pantry.expiring(TUESDAY), ["cream", "milk"])

    def test_what_was_used_up_does_not_expire(self):
        self.pantry.take("cream", Quantity(200, "ml"))
        self.assertEqual(self.pantry.expiring(FRIDAY), ["milk"])
