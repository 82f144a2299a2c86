"""What of this machine stands for an image."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import inferstream
from inferstream.local import triton

_START = """\
#!/bin/sh
for word; do
  shift
  case $word in --model-config-name=*|--grpc-max-response-pool-size=*) ;; *) set -- "$@" "$word" ;; esac
done
exec {command} "$@"
"""
_PROGRAMS = "/opt/programs"
_SHM_PREFIX = "inferstream_kubelet"


class Image(NamedTuple):
    """How its containers start, and what of this machine they see where."""

    entrypoint: Sequence[str]
    environ: Mapping[str, str]
    folders: Mapping[str, Path]


def installed(folder: Path) -> dict[str, Image]:
    """The images of the chart by repository. Scripts that stand for programs are written to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"inferstream": _service(), "nvcr.io/nvidia/tritonserver": _triton(folder)}


def _service() -> Image:
    prefix = Path(sys.prefix)
    environ = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    source = Path(inferstream.__file__).parents[1]
    return Image([str(prefix / "bin" / "inferstream")], environ, _as_they_are(prefix, Path(sys.base_prefix), source))


def _triton(folder: Path) -> Image:
    """The local Triton: its backends lie elsewhere than an image's, and have no ONNX Runtime of their own, so that the
    models' configurations for CPU and GPU are no choice. It is older than some options.
    """
    launch = triton.launch(Path("/models"), (8000, 8001, 8002), _SHM_PREFIX, [], print)
    server = launch.command[0]
    placed = [each for each in launch.command if each.startswith(("--backend-directory", "--backend-config"))]
    program = folder / "tritonserver"
    program.write_text(_START.format(command=" ".join([server, *placed])))
    program.chmod(0o755)
    home = Path(placed[0].partition("=")[2]).parent
    names = ("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY")
    environ = {"PATH": f"{_PROGRAMS}:{launch.environ['PATH']}", **{name: launch.environ[name] for name in names}}
    return Image([], environ, {**_as_they_are(home, Path(sys.base_prefix)), _PROGRAMS: folder})


def _as_they_are(*folders: Path) -> dict[str, Path]:
    return {str(folder): folder for folder in folders}
