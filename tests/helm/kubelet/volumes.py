"""The volumes of a pod as folders, kept as the Secrets and ConfigMaps are."""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.helm.api import Object
from tests.helm.kubelet.environment import Lookup

_DATA = "..data"
_SOURCES = (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name"))


class Volumes:
    """Those of one pod below a folder. `memory` names those that are to be a tmpfs, with their size."""

    def __init__(self, pod: Object, folder: Path, lookup: Lookup) -> None:
        self._folder, self._lookup = folder, lookup
        self._volumes: Sequence[Object] = pod["spec"].get("volumes", ())
        self._group = int(pod["spec"].get("securityContext", {}).get("fsGroup", 0))
        self.memory: dict[Path, str] = {}

    def path(self, name: str) -> Path:
        """The folder of a volume."""
        return self._folder / name

    async def make(self) -> None:
        """All of them. Raises LookupError for what is not there, or not known to this kubelet."""
        for volume in self._volumes:
            path = self.path(volume["name"])
            path.mkdir(parents=True, exist_ok=True)
            if "emptyDir" in volume:
                path.chmod(0o2777)
                os.chown(path, -1, self._group)
                if volume["emptyDir"].get("medium") == "Memory":
                    self.memory[path] = _bytes(volume["emptyDir"].get("sizeLimit", "0"))
        await self.refresh()

    async def refresh(self) -> bool:
        """As the objects are now: readers see all of a change or nothing of it. Whether there was one."""
        filled = [volume for volume in self._volumes if "emptyDir" not in volume]
        changes = [replace(self.path(each["name"]), await self._content(each), self._group) for each in filled]
        return any(changes)

    async def _content(self, volume: Object) -> dict[str, tuple[bytes, int]]:
        """Files by path, with their modes."""
        kind = next(key for key in volume if key != "name")
        source = volume[kind]
        parts = source["sources"] if kind == "projected" else [{kind: source}]
        default, found = source.get("defaultMode", 0o644), dict[str, tuple[bytes, int]]()
        for part in parts:
            for key, plural, naming in _SOURCES:
                if (given := part.get(key)) is not None:
                    name = given["name"] if kind == "projected" else given[naming]
                    data = await self._lookup.data(plural, name, given.get("optional", False))
                    found |= _files(data, given.get("items"), default)
                    break
            else:
                raise LookupError(f"volume {volume['name']}: {', '.join(part)} is not known to this kubelet")
        return found


def _files(data: Mapping[str, bytes], items: Sequence[Object] | None, mode: int) -> dict[str, tuple[bytes, int]]:
    if items is None:
        return {key: (value, mode) for key, value in data.items()}
    return {item["path"]: (data[item["key"]], item.get("mode", mode)) for item in items}


def replace(folder: Path, content: Mapping[str, tuple[bytes, int]], group: int) -> bool:
    """The files of a folder, all at once: links through `..data`, which is renamed. Whether that was needed."""
    current = folder / _DATA
    if current.exists() and content == {
        str(file.relative_to(current)): (file.read_bytes(), file.stat().st_mode & 0o777)
        for file in current.rglob("*")
        if file.is_file()
    }:
        return False
    new, old = folder / f"..{secrets.token_hex(6)}", current.resolve() if current.exists() else None
    new.mkdir()
    for path, (value, mode) in content.items():
        file = new / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value)
        file.chmod(mode)
        os.chown(file, -1, group)
    link = folder / "..data_tmp"
    link.symlink_to(new.name)
    link.replace(current)
    shown = {path.partition("/")[0] for path in content}
    for name in shown:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    for each in folder.iterdir():
        if not each.name.startswith("..") and each.name not in shown:
            each.unlink()
    if old is not None:
        shutil.rmtree(old)
    return True


def _bytes(quantity: str) -> str:
    """As mount takes it: 512Mi is 512m."""
    return quantity.removesuffix("i").lower()
