"""The whole audit with the real pip-audit, its tools from their lock, asking a service of the test's own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from release.locks import ROOT, all_locks, pins

from inferstream.local.cache import build_once, cache_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_LOCK = ROOT / "service" / "locks" / "audit.txt"


class Osv(ThreadingHTTPServer):
    """Answers as OSV does; `weak` names the package that it says is weak. Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.weak: str | None = None
        self.asked: list[tuple[str, str]] = []

    @property
    def options(self) -> list[str]:
        """Those that send pip-audit here."""
        return ["-s", "osv", "--osv-url", f"http://127.0.0.1:{self.server_port}/v1/query"]


class _Answer(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        self.server.asked.append((name, asked["version"]))
        affected = {"package": asked["package"], "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99.1"}]}]}
        weakness = {"id": "GHSA-test", "aliases": ["CVE-2026-1"], "summary": "Bad.", "affected": [affected]}
        body = json.dumps({"vulns": [weakness]} if name == self.server.weak else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Not on the test's output."""


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def python() -> Path:
    """That of an environment with the audit's tools."""

    def install(target: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
        pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--require-hashes", "--no-deps", "-r", str(_LOCK)], check=True)

    digest = sha256(_LOCK.read_bytes()).hexdigest()[:12]
    return build_once(cache_folder() / f"audit-{digest}", install) / "bin" / "python"


def run(python: Path, options: list[str]) -> tuple[int, list[str]]:
    """Exit code, and lines printed."""
    command = [str(python), "-m", "release.audit", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_every_package_of_every_lock_is_asked_about_once(python: Path, osv: Osv) -> None:
    code, lines = run(python, osv.options)
    everything = {(pin.name, pin.version) for lock in all_locks() for pin in pins(lock)}
    assert sorted(osv.asked) == sorted(everything)
    assert code == 0
    assert lines[-1].startswith(f"{len(everything)} packages in the locks")
    assert lines[-1].endswith("nothing to see to")


def test_a_weak_package_fails_it_by_name(python: Path, osv: Osv) -> None:
    osv.weak = "urllib3"
    code, lines = run(python, osv.options)
    assert code == 1
    (found,) = [line for line in lines if line.startswith("urllib3 ") and "service/locks/runtime.txt" in line]
    assert all(part in found for part in ("GHSA-test", "CVE-2026-1", "mended in 99.1"))


def test_without_a_service_it_fails_and_says_so(python: Path) -> None:
    code, lines = run(python, ["-s", "osv", "--osv-url", "http://127.0.0.1:9/v1/query"])
    assert code == 1
    assert lines[0].startswith("the vulnerability service gave no answer: ")
