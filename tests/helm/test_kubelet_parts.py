"""The parts of the process kubelet that compute keep to what Kubernetes describes."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.helm.api import Object
from tests.helm.kubelet.environment import expanded, variables
from tests.helm.kubelet.probes import Thresholds
from tests.helm.kubelet.volumes import replace


class Kept:
    """A Secret `s` and nothing else."""

    async def data(self, kind: str, name: str, optional: bool = False) -> Mapping[str, bytes]:
        if (kind, name) == ("secrets", "s"):
            return {"key": b"value"}
        if optional:
            return {}
        raise LookupError(f"{kind}/{name}")


POD: Object = {"metadata": {"name": "p", "labels": {"a/b": "c"}}, "spec": {"nodeName": "n"}, "status": {"podIP": "1.2"}}


async def test_variables_come_from_the_pod_and_from_secrets() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "s"}, "prefix": "ALL_"}],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
            {"name": "BOTH", "value": "$(NAME)-$(SECRET)"},
        ],
    }
    assert await variables(container, POD, Kept()) == {
        "ALL_key": "value",
        "NAME": "p",
        "LABEL": "c",
        "IP": "1.2",
        "SECRET": "value",
        "BOTH": "p-value",
    }


@pytest.mark.parametrize("ref", [{"name": "none", "key": "k"}, {"name": "s", "key": "other"}])
async def test_a_secret_that_is_not_there_is_said(ref: Object) -> None:
    with pytest.raises(LookupError, match=ref["name"]):
        await variables({"env": [{"name": "A", "valueFrom": {"secretKeyRef": ref}}]}, POD, Kept())


def test_references_that_are_unknown_or_escaped_stay() -> None:
    assert expanded("$(A) $(B) $$(A) $A", {"A": "1"}) == "1 $(B) $(A) $A"


def test_a_volume_changes_all_at_once(tmp_path: Path) -> None:
    assert replace(tmp_path, {"a": (b"1", 0o440), "b": (b"1", 0o644)}, os.getgid())
    first = (tmp_path / "..data").resolve()
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440
    assert not replace(tmp_path, {"a": (b"1", 0o440), "b": (b"1", 0o644)}, os.getgid())
    held = first / "a"
    assert replace(tmp_path, {"a": (b"2", 0o440)}, os.getgid())
    assert (tmp_path / "a").read_bytes() == b"2"
    assert not (tmp_path / "b").is_symlink()
    assert not held.exists()
    assert (tmp_path / "a").readlink() == Path("..data/a"), (
        "who mounts the folder sees the new one through the same link"
    )


def test_a_probe_decides_by_how_many_agree_in_a_row() -> None:
    thresholds = Thresholds({"successThreshold": 1, "failureThreshold": 3}, is_up=True)
    assert [thresholds.add(result) for result in (False, False, True, False, False)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert thresholds.is_up
    assert thresholds.add(False)
    assert not thresholds.is_up
