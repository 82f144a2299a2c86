"""What is read of a lock, and what is refused."""

from pathlib import Path

import pytest
from release.locks import ROOT, Pin, all_locks, pins

A, B = "a" * 64, "b" * 64


def lock(folder: Path, text: str) -> Path:
    file = folder / "some.txt"
    file.write_text(text)
    return file


def test_a_pin_is_its_name_version_marker_and_hashes(tmp_path: Path) -> None:
    text = "# a comment\nSome_Thing[fast]==1.2 ; python_version < '3.12' \\\n"
    text += f"    --hash=sha256:{B} \\\n    --hash=sha256:{A}\n"
    text += f"other==2.0.post1 --hash=sha256:{A}\n"
    assert pins(lock(tmp_path, text)) == [
        Pin("some-thing", "1.2", "python_version < '3.12'", (A, B)),
        Pin("other", "2.0.post1", "", (A,)),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "some==1.2",
        f"some>=1.2 --hash=sha256:{A}",
        f"some @ https://host/some.whl --hash=sha256:{A}",
        "some==1.2 --hash=md5:0",
    ],
)
def test_what_is_not_pinned_by_hash_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"some\.txt: 'some.* must be NAME==VERSION with hashes"):
        pins(lock(tmp_path, line + "\n"))


def test_every_file_that_an_install_is_made_from_is_a_lock() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in all_locks()}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "service" / "locks").glob("*.txt")} <= names
    assert "tests/helm/requirements.txt" in names
    for path in all_locks():
        assert pins(path), path
