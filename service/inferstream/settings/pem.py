"""What is wrong with files of certificates and keys, in words: OpenSSL says no more than `PEM lib` of most of it."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inferstream.errors import SettingsError

_BEGIN, _END = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----"), re.compile(rb"-----END [A-Z0-9 ]+-----")
Kind = Literal["CERTIFICATE", "PRIVATE KEY"]


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was read, and the setting that names it."""

    setting: str
    file: Path
    content: bytes = field(repr=False)  # a key, perhaps

    def holds(self, kind: Kind) -> bool:
        return any(kind.encode() in begin for begin in _BEGIN.findall(self.content))


State = tuple[tuple[int, ...] | None, ...]
"""What tells that a file was written or another put in its place; None of one that is not there."""


def state(*files: Path | None) -> State:
    """Differs when any of these does, also where a link to it was turned: Kubernetes gives new files so."""
    return tuple(_stat(file) for file in files if file is not None)


def _stat(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read(setting: str, file: Path, usual_name: str | None = None) -> Part:
    """A file with what it holds. Raises SettingsError; for a folder it names the file that is usually in such a one."""
    try:
        return Part(setting, file, file.read_bytes())
    except IsADirectoryError:
        example = f", e.g. {file / usual_name}" if usual_name else ""
        raise SettingsError(f"{setting}: {file} is a folder: name the file in it{example}") from None
    except OSError as error:
        raise SettingsError(f"{setting}: {file} cannot be read ({error.strerror})") from None


def fault(part: Part, kind: Kind) -> str | None:
    """Why this can be no file of that kind, in a line; None where only OpenSSL can tell."""
    begins, ends = (len(mark.findall(part.content)) for mark in (_BEGIN, _END))
    if not part.content.strip():
        why = "is empty"
    elif begins == ends == 0:
        why = "is not PEM: `openssl pkcs12 -nodes -in FILE` makes it of PKCS #12"
    elif begins != ends:
        why = "is cut off in the midst of PEM: write it anew, whole"
    elif not part.holds(kind):
        why = f"holds no {kind.lower()} in PEM: name the file that does"
    else:
        return None
    return f"{part.setting}: {part.file} {why}"


def fault_of_pair(certificate: Part, key: Part) -> str | None:
    """Why OpenSSL takes no certificate with its key from these (one file may be both), in a line; None: unknown."""
    is_swapped = not certificate.holds("CERTIFICATE") and key.holds("CERTIFICATE")
    if is_swapped and certificate.holds("PRIVATE KEY") and not key.holds("PRIVATE KEY"):
        return f"{certificate.setting}: {certificate.file} holds the key and {key.file} the certificate: swap the two"
    if why := fault(certificate, "CERTIFICATE") or fault(key, "PRIVATE KEY"):
        return why
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=certificate.content.decode("ascii", "ignore")
        )
    except (ssl.SSLError, ValueError):
        return f"{certificate.setting}: a certificate in {certificate.file} is damaged: write it anew"
    return None
