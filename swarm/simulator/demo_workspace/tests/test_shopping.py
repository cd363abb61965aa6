import unittest

from larder.pantry import OutOfStock, Pantry
from larder.quantity import Quantity
from larder.recipe import Recipe
from larder.shopping import shopping_list

BREAD = Recipe.parse("Bread", servings=1, ingredients=["1 kg flour", "20 g salt", "600 ml water"])
SAUCE = Recipe.parse("Sauce", servings=2, ingredients=["50 g flour", "50 g butter", "500 ml milk"])


class Shopping(unittest.TestCase):
    def test_the_same_ingredient_is_bought_once(self):
        self.assertEqual(
            [str(item) for item in shopping_list([BREAD, SAUCE])],
            ["50 g butter", "1.05 kg flour", "500 ml milk", "20 g salt", "600 ml water"],
        )

    def test_mass_and_volume_of_one_thing_stay_apart(self):
        by_spoon = Recipe.parse("Toast", servings=1, ingredients=["1 tbsp butter"])
        self.assertEqual([str(item) for item in shopping_list([SAUCE, by_spoon])][:2], ["50 g butter", "1 tbsp butter"])


class Stock(unittest.TestCase):
    def test_what_is_put_in_can_be_taken_out(self):
        pantry = Pantry()
        pantry.put("flour", Quantity(1, "kg"))
        pantry.take("flour", Quantity(250, "g"))
        self.assertEqual(pantry.stock("flour"), Quantity(0.75, "kg"))

    def test_more_than_there_is_cannot_be_taken(self):
        pantry = Pantry()
        pantry.put("flour", Quantity(100, "g"))
        with self.assertRaises(OutOfStock):
            pantry.take("flour", Quantity(1, "kg"))
        self.assertEqual(pantry.stock("flour"), Quantity(100, "g"))

    def test_an_empty_shelf_has_no_name(self):
        pantry = Pantry()
        pantry.put("eggs", Quantity(6))
        pantry.take("eggs", Quantity(6))
        self.assertEqual(pantry.names(), [])


if __name__ == "__main__":
    unittest.main()
