"""What a model's tensors are held against to find drift: `drift.json`, which lies beside a shipped model."""

from importlib.resources import as_file, files
from pathlib import Path

import msgspec

from inferstream.errors import SettingsError
from inferstream.policy.drift import Drift, Reference

_FILE = "drift.json"


def load_reference(file: Path | None, model: str) -> Reference | None:
    """That of the file, else of the shipped model of this name; None if there is none. Raises SettingsError."""
    if file is None:
        shipped = files("inferstream") / "model_repository" / model / _FILE
        if not shipped.is_file():
            return None
        with as_file(shipped) as path:
            return _read(path)
    if not file.is_file():
        raise SettingsError(f"drift_file {file} does not exist; `python -m inferstream.models drift` writes one")
    return _read(file)


def _read(path: Path) -> Reference:
    try:
        reference = msgspec.json.decode(path.read_bytes(), type=Reference)
        Drift(reference)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise SettingsError(f"drift_file {path} cannot be used ({error}); write it anew") from None
    return reference
