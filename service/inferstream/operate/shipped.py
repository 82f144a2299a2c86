"""models copy: the shipped models that the settings ask for, as a repository for a Triton that has no other."""

import shutil
from pathlib import Path

from inferstream.errors import ContractMismatch, SettingsError
from inferstream.needs import load_tasks, models_on_triton
from inferstream.settings import Settings

_SHIPPED = Path(__file__).parents[1] / "model_repository"


def copy_shipped(settings: Settings, folder: Path) -> int:
    """Print what was copied; 0. Raises ContractMismatch, before anything is copied, for models that are not shipped.

    Raises SettingsError if the folder cannot be written.
    """
    tasks = load_tasks(settings)
    asked = {
        model: pipeline
        for pipeline, task in tasks.items()
        for model, _ in models_on_triton(settings, pipeline, task).values()
    }
    shipped = {entry.name for entry in _SHIPPED.iterdir() if (entry / "config.pbtxt").is_file()}
    if strange := sorted(asked.keys() - shipped):
        raise ContractMismatch(
            f"model '{strange[0]}' of pipeline '{asked[strange[0]]}' is not shipped; "
            f"give Triton a repository that has it (shipped: {', '.join(sorted(shipped))})"
        )
    ignored = shutil.ignore_patterns("__pycache__")
    for model in sorted(asked):
        try:
            shutil.copytree(_SHIPPED / model, folder / model, dirs_exist_ok=True, ignore=ignored)
        except shutil.Error as error:  # a list of what did not go; the first says enough
            raise SettingsError(f"{folder} cannot be written: {error.args[0][0][2]}") from None
        except OSError as error:
            raise SettingsError(f"{folder} cannot be written: {error.strerror}") from None
        print(f"{model}: copied to {folder / model}")
    return 0
