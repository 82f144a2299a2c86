"""models copy: the shipped models that the settings ask for, as a repository for a Triton that has no other."""

import shutil
from pathlib import Path

from inferstream.errors import ContractMismatch
from inferstream.needs import load_tasks, models_on_triton
from inferstream.settings import Settings

_SHIPPED = Path(__file__).parents[1] / "model_repository"


def copy_shipped(settings: Settings, folder: Path) -> int:
    """Print what was copied; 0. Raises ContractMismatch, before anything is copied, for models that are not shipped."""
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
        shutil.copytree(_SHIPPED / model, folder / model, dirs_exist_ok=True, ignore=ignored)
        print(f"{model}: copied to {folder / model}")
    return 0
