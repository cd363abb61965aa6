import unittest

from larder.quantity import Quantity


class Quantities(unittest.TestCase):
    def test_amount_and_unit_are_read(self):
        self.assertEqual(Quantity.parse("1.5 l"), Quantity(1.5, "l"))
        self.assertEqual(Quantity.parse("250g"), Quantity(250, "g"))
        self.assertEqual(Quantity.parse("3"), Quantity(3))

    def test_nonsense_is_refused(self):
        for text in ("", "some", "1 firkin", "-1 g"):
            with self.subTest(text), self.assertRaises(ValueError):
                Quantity.parse(text)

    def test_a_sum_has_the_first_unit(self):
        self.assertEqual(Quantity(1, "kg") + Quantity(500, "g"), Quantity(1.5, "kg"))

    def test_a_quantity_is_printed_without_needless_zeros(self):
        self.assertEqual(str(Quantity(2.0, "kg")), "2 kg")
        self.assertEqual(str(Quantity(3.0)), "3")


if __name__ == "__main__":
    unittest.main()
