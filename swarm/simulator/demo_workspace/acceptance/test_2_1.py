import unittest

from larder.duration import recipe_minutes, step_minutes
from larder.recipe import Recipe


class Duration(unittest.TestCase):
    def test_the_steps_add_up(self):
        bread = Recipe("Bread", 1, (), ("Knead.", "Rest 1 h.", "Bake for 45 min"))
        self.assertEqual(recipe_minutes(bread), 105)

    def test_hours_and_minutes_count_together(self):
        self.assertEqual(step_minutes("Simmer for 1 h 30 min"), 90)

    def test_without_a_time_it_is_nought(self):
        self.assertEqual(recipe_minutes(Recipe("Salad", 1, (), ("Wash.", "Toss."))), 0)

    def test_other_numbers_do_not_count(self):
        self.assertEqual(step_minutes("Heat to 180 C, add 2 handfuls and 3 minced onions"), 0)
