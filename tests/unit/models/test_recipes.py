"""Recipes as data: what a model needs, what it may lose."""

import pytest

from inferstream.models.families import FAMILIES
from inferstream.models.recipes import Limit, Recipe, shortfalls, sources

RECIPES = [family.recipe for family in FAMILIES.values()]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_makes_what_it_starts_from_first_and_what_it_names(recipe: Recipe) -> None:
    steps = recipe.steps
    made: set[str] = set()
    for step in steps:
        assert set(sources(step)) <= made, step
        assert step.makes not in made
        made.add(step.makes)
    assert set(recipe.shipped) <= set(recipe.models)
    assert set(recipe.unlisted) <= made
    for limit in recipe.limits:
        assert {limit.model, limit.against} <= set(recipe.models)


def test_only_what_a_model_needs_is_made() -> None:
    needed = [step.makes for step in FAMILIES["fraud"].recipe.needed(["fraud_student"])]
    assert needed == ["fraud_teacher", "fraud_student_uncalibrated", "fraud_student"]


def test_a_model_that_loses_too_much_is_named_with_figures() -> None:
    reports = {"big": {"auc_roc": 0.91}, "small": {"auc_roc": 0.89}}
    assert shortfalls([Limit("small", "big", "auc_roc", 0.03)], reports) == []
    (line,) = shortfalls([Limit("small", "big", "auc_roc", 0.01)], reports)
    assert line == "small loses 0.0200 auc_roc to big; 0.01 is allowed"


def test_a_limit_on_a_model_that_was_not_made_says_nothing() -> None:
    assert shortfalls([Limit("small", "big", "auc_roc", 0.0)], {"small": {"auc_roc": 0.5}}) == []
