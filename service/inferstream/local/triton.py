"""The Triton of the local stack: the real server from a wheel, with its Python backend, on the loopback interface.

The wheel's server is old: it is for trying and testing, never for an image.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from inferstream.local.broker import Launch
from inferstream.local.cache import build_once, cache_folder
from inferstream.local.process import LocalStackError

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Triton's Python backend keeps its regions
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_TRACING = ("--trace-config=mode=opentelemetry", "--trace-config=level=TIMESTAMPS", "--trace-config=rate=0")
_GPU_CONFIGURATION = "python-gpu"  # of models.repository
_BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")


def launch(
    repository: Path,
    ports: Sequence[int],
    region_prefix: str,
    models: Sequence[str],
    tell: Callable[[str], None],
    traces_url: str | None = None,
    gpu: bool = False,
) -> Launch:
    """How to start Triton on ports (HTTP, gRPC, metrics) with these models of the repository (none named: all).

    With `traces_url` it sends its own spans of the calls that carry a trace context there, and of no others. With
    `gpu` models run on the GPU, those that have a configuration for it.
    """
    library = _check_machine()
    if gpu:
        _check_gpu()
    lock = _lock("local-triton-gpu.txt" if gpu else "local-triton.txt")
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = build_once(cache_folder() / f"triton-{digest}", lambda target: _install(target, lock, gpu, tell))
    site = home / "lib" / f"python{_PYTHON}" / "site-packages"
    http, grpc, metrics = ports
    command = [
        str(site / "pytriton/tritonserver/bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={home / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={region_prefix}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models or ["*"]),
        *([f"--model-config-name={_GPU_CONFIGURATION}"] if gpu else ()),
        "--strict-readiness=true",
        "--exit-timeout-secs=3",
        *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        *(_TRACING if traces_url else ()),
        *([f"--trace-config=opentelemetry,url={traces_url}"] if traces_url else ()),
    ]
    environ = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")},
        # The backend's helper process finds its packages through the first python on PATH, by no other way.
        "PATH": f"{home / 'bin'}:{os.environ.get('PATH', '')}",
        # What was there may be where the GPU's driver is.
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{library}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # its models' ONNX Runtime would tell its maker of them
    }
    return Launch(command, environ)


def is_ready(http_port: int) -> bool:
    """Whether the server and every model it was told to load are ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/v2/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _check_machine() -> Path:
    """The folder of Python's shared library, which the backend needs. Raises if this machine cannot run it."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise LocalStackError("the local Triton runs on Linux x86-64 only; elsewhere use `docker compose up`")
    library = Path(sysconfig.get_config_var("LIBDIR") or "/nowhere")
    name = f"libpython{_PYTHON}.so"
    if not list(library.glob(f"{name}*")):
        raise LocalStackError(
            f"the local Triton needs Python's shared library {name}, and {library} has none: install it "
            f"(Debian: apt-get install libpython{_PYTHON}; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install)"
        )
    return library


def _check_gpu() -> None:
    """Raises if the driver sees no GPU."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise LocalStackError("--gpu needs NVIDIA's driver, and libcuda.so.1 is not here: leave --gpu out") from None
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        raise LocalStackError("--gpu needs a GPU, and NVIDIA's driver sees none: `nvidia-smi` says more")


def _lock(name: str) -> Path:
    """The lock beside us in an installation, or of the checkout."""
    here = Path(__file__).parent
    for place in (here / "locks" / name, here.parents[1] / "locks" / name):
        if place.is_file():
            return place
    raise LocalStackError(f"{name} is missing from this installation: install inferstream anew")


def _install(target: Path, lock: Path, gpu: bool, tell: Callable[[str], None]) -> None:
    """An environment of its own, since its numpy is not ours; and the backend laid out as the server wants it."""
    tell(f"installing the local Triton{' for GPUs' if gpu else ''} (once, about {'3 GB' if gpu else '450 MB'})")
    for command in (
        [sys.executable, "-m", "venv", str(target)],
        [
            str(target / "bin" / "python"),
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "-r", str(lock)),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalStackError(f"the local Triton could not be installed: {done.stderr.strip()[-300:]}")
    server = target / "lib" / f"python{_PYTHON}" / "site-packages" / "pytriton" / "tritonserver"
    backend = target / "backends" / "python"
    backend.mkdir(parents=True)
    stub = server / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise LocalStackError(f"the local Triton has no helper for Python {_PYTHON}: use Python 3.11")
    for file in (stub, *(server / "backends" / "python" / name for name in _BACKEND_FILES)):
        shutil.copy2(file, backend)
