"""The wheel: built twice the same, the same as in the image, and holding what it must and nothing else."""

import io
import re
import tarfile
import tomllib
from email import message_from_bytes
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

import pytest
from release import wheel
from release.locks import ROOT
from release.sbom import BILL

pytestmark = pytest.mark.timeout(300)

# What the package may hold, by the ending of its files; all else is there by mistake.
_KINDS = {".py", ".typed", ".yaml", ".xml", ".json", ".pbtxt", ".onnx", ".npz", ".md", ".html", ".css", ".js", ".svg"}
_BY_NAME = {"inferstream/local/locks/local-triton.txt", "inferstream/local/locks/local-triton-gpu.txt"}
_LARGEST_BYTES = 8 << 20


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Wheel and sdist, which were built twice for it."""
    return wheel.build_twice(tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def archive(built: dict[str, bytes]) -> ZipFile:
    """The wheel."""
    (content,) = (content for name, content in built.items() if name.endswith("-py3-none-any.whl"))
    assert len(content) < _LARGEST_BYTES
    return ZipFile(io.BytesIO(content))


def test_wheel_and_sdist_come_out_the_same_of_another_place_time_and_umask(built: dict[str, bytes]) -> None:
    assert sorted(Path(name).suffix for name in built) == [".gz", ".whl"]


def test_a_build_that_differs_is_refused_by_name() -> None:
    with pytest.raises(wheel.BuildError, match=r"these differ: a\.whl, c\.whl$"):
        wheel.compare({"a.whl": b"1", "b.tar.gz": b"2"}, {"a.whl": b"3", "b.tar.gz": b"2", "c.whl": b"4"})


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old.whl").touch()
    with pytest.raises(wheel.BuildError, match=r"must be empty, and has old\.whl"):
        wheel.build_twice(tmp_path)


def test_the_image_is_built_with_the_same_wheel(built: dict[str, bytes], tmp_path: Path) -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    (content,) = (content for name, content in built.items() if name.endswith(".tar.gz"))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        let_through = [member for member in archive if member.name.split("/")[1] in allowed]
        archive.extractall(tmp_path, let_through, filter="data")
    (source,) = tmp_path.iterdir()
    assert {path.name for path in source.iterdir()} == allowed
    of_image = wheel.build(source, tmp_path / "dist")
    (name,) = (name for name in built if name.endswith(".whl"))
    assert of_image[name] == built[name]


def test_the_wheel_holds_the_package_and_what_it_is_told_with(archive: ZipFile) -> None:
    for name in archive.namelist():
        if ".dist-info/" in name:
            continue
        assert name.startswith("inferstream/"), name
        assert Path(name).suffix in _KINDS or name in _BY_NAME, name
        assert not any(
            fnmatch(part, bad) for part in name.split("/") for bad in ("__pycache__", ".*", "test_*", "conftest*")
        )
    assert {"inferstream/py.typed", "inferstream/web/static/index.html"} <= set(archive.namelist())


def test_everything_that_git_would_keep_of_the_package_is_in_the_wheel(archive: ZipFile) -> None:
    package = ROOT / "service" / "inferstream"
    kept = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept <= set(archive.namelist())


@pytest.mark.parametrize(
    "private", [rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", rb"/home/", rb"/root/", rb"AKIA[0-9A-Z]{16}"]
)
def test_nothing_secret_and_no_place_of_ours_is_in_it(archive: ZipFile, private: bytes) -> None:
    assert [name for name in archive.namelist() if re.search(private, archive.read(name))] == []


def test_it_carries_its_bill_of_materials_and_its_licence(archive: ZipFile) -> None:
    folder = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")).rpartition("/")[0]
    assert archive.read(f"{folder}/sboms/inferstream.cdx.json") == BILL.read_bytes()
    assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    about = message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_sdist_has_no_file_that_is_open_to_write_for_others(built: dict[str, bytes]) -> None:
    (content,) = (content for name, content in built.items() if name.endswith(".tar.gz"))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            assert member.isfile()
            assert member.mode & 0o022 == 0
            assert (member.uid, member.gid, member.uname) == (0, 0, "")
