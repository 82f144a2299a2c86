"""The models that contestants call: the shipped `fraud` as it is, and two whose speed is known and can be set: `paced`,
and `slow`, whose overload leaves a small machine room for several processes of a contestant."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from inferstream.local.stack import shipped_models

_PACED = Path(__file__).with_name("paced")


class Pace(NamedTuple):
    """A call of the paced model takes alpha + beta * rows."""

    alpha_ms: float = 2.0
    beta_ms: float = 0.5


SLOW = Pace(beta_ms=2.0)


def build(folder: Path, pace: Pace, factor_file: Path) -> Path:
    """A model repository in `folder` with all of them."""
    shutil.copytree(shipped_models() / "fraud", folder / "fraud")
    for model, own in (("paced", pace), ("slow", SLOW)):
        shutil.copytree(_PACED, folder / model, ignore=shutil.ignore_patterns("__pycache__"))
        config = folder / model / "config.pbtxt"
        text = config.read_text().replace('name: "paced"', f'name: "{model}"')
        for name, value in {**own._asdict(), "factor_file": factor_file}.items():
            text = re.sub(rf'(key: "{name}" value {{ string_value: ")[^"]*', rf"\g<1>{value}", text)
        config.write_text(text)
    return folder
