"""The example settings that come with the package, one file for each pipeline: the demo's, and to copy."""

from pathlib import Path

from inferstream.errors import SettingsError

_FOLDER = Path(__file__).parents[1] / "examples"
_TOGETHER = "everything"  # the others side by side: to copy, and more than a demo shows


def example(name: str) -> Path:
    """The settings file of an example. Raises SettingsError naming those there are."""
    found = {path.stem: path for path in _FOLDER.glob("*.yaml")}
    if name not in found:
        raise SettingsError(f"there is no example '{name}'; there are: {', '.join(sorted(found.keys() - {_TOGETHER}))}")
    return found[name]
