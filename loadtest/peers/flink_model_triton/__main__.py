"""Whether Flink's own Triton provider can score a row of the fraud model on a real Triton, and if not, what it says.

`python -m loadtest.peers.flink_model_triton` builds the SQL program beside this file with Maven, starts the local
Triton, runs the program and prints one JSON object. Needs Java 17 and Maven.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from inferstream import local
from inferstream.errors import InferstreamError
from loadtest.errors import LoadTestError

_HERE = Path(__file__).parent
_BUILD = _HERE.parents[2] / ".venv-peers" / _HERE.name
_POM = "{http://maven.apache.org/POM/4.0.0}"
_BUILD_SECONDS, _RUN_SECONDS = 600, 120


def main() -> None:
    """Print what came of it."""
    try:
        print(json.dumps(attempt()))
    except InferstreamError as error:
        sys.exit(f"flink-model-triton: {error}")


def attempt() -> dict[str, str | bool | None]:
    """One try, on a Triton that serves the model."""
    version = _version()
    _build()
    with (
        tempfile.TemporaryDirectory(prefix="inferstream-") as folder,
        local.running(Path(folder), parts=["triton"], models=["fraud"]) as stack,
    ):
        done = _run(_java(f"http://{stack.endpoints.triton_http}/v2/models"), _RUN_SECONDS)
    said = done.stdout.strip()
    if done.returncode not in (0, 1) or not said:
        raise LoadTestError(f"the program ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    works = done.returncode == 0
    return {"version": version, "works": works, "error": None if works else said}


def _version() -> str:
    found = ElementTree.parse(_HERE / "pom.xml").findtext(f"{_POM}properties/{_POM}flink.version")  # noqa: S314
    assert found is not None
    return found


def _build() -> None:
    command = ["mvn", "-q", "-B", "-f", str(_HERE / "pom.xml"), f"-DbuildDirectory={_BUILD}", "package"]
    done = _run(command, _BUILD_SECONDS)
    if done.returncode != 0:
        raise LoadTestError(f"Maven could not build the program: {done.stdout.strip()[:500]}")


def _java(endpoint: str) -> list[str]:
    return ["java", "-Xmx512m", "-cp", f"{_BUILD}/*:{_BUILD}/lib/*", "refusal.Refusal", endpoint]


def _run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except FileNotFoundError:
        raise LoadTestError(f"{command[0]} is not there: install Java 17 and Maven") from None
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{command[0]} did not end within {seconds:.0f} s") from None


if __name__ == "__main__":
    main()
