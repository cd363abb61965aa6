import csv
import io
import unittest

from larder.export import to_csv
from larder.quantity import Quantity
from larder.recipe import Ingredient


class Csv(unittest.TestCase):
    def test_there_is_a_line_for_each_ingredient(self):
        items = [Ingredient.parse("1.5 kg flour"), Ingredient.parse("3 eggs")]
        self.assertEqual(to_csv(items), "ingredient,amount,unit\nflour,1.5,kg\neggs,3,\n")

    def test_every_name_is_read_back(self):
        name = 'sugar, "extra" fine'
        rows = list(csv.reader(io.StringIO(to_csv([Ingredient(name, Quantity(1, "kg"))]))))
        self.assertEqual(rows[1], [name, "1", "kg"])

    def test_an_empty_list_is_a_heading(self):
        self.assertEqual(to_csv([]), "ingredient,amount,unit\n")
