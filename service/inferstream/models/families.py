"""The families there are."""

from inferstream.models import digits, fraud, generation, segmentation, sensor

FAMILIES = {
    family.recipe.name: family
    for family in (fraud.FAMILY, sensor.FAMILY, digits.FAMILY, segmentation.FAMILY, generation.FAMILY)
}
