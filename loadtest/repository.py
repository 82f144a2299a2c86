"""The models that contestants call: the shipped `fraud` as it is, and `paced`, whose speed is known and can be set."""

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


def build(folder: Path, pace: Pace, factor_file: Path) -> Path:
    """A model repository in `folder` with both models."""
    shutil.copytree(shipped_models() / "fraud", folder / "fraud")
    shutil.copytree(_PACED, folder / "paced", ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "paced" / "config.pbtxt"
    text = config.read_text()
    for name, value in {**pace._asdict(), "factor_file": factor_file}.items():
        text = re.sub(rf'(key: "{name}" value {{ string_value: ")[^"]*', rf"\g<1>{value}", text)
    config.write_text(text)
    return folder
