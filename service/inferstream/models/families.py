"""The families there are."""

from inferstream.models import fraud

FAMILIES = {family.recipe.name: family for family in (fraud.FAMILY,)}
