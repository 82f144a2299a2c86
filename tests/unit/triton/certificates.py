"""Certificates made for a test: authorities, what they sign, and the files that a user would have of it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

_LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)


class Pair(NamedTuple):
    """Files of a certificate with its chain, of its key, and of both in one."""

    certificate: Path
    key: Path
    both: Path

    def replace_by(self, other: "Pair") -> None:
        """As a careful tool does: each file is put in the place of the old one at once."""
        for ours, theirs in zip(self, other, strict=True):
            fresh = ours.with_suffix(".fresh")
            fresh.write_bytes(theirs.read_bytes())
            os.replace(fresh, ours)


class Authority:
    """One that signs, and its own certificate in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.name = name
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._ca.cert_pem.bytes()

    def server(self, host: str = "localhost", is_expired: bool = False) -> Pair:
        """For a server of that host name or address."""
        begin, end = _LONG_AGO if is_expired else (None, None)
        return self._written(f"{host}-{is_expired}", self._ca.issue_cert(host, not_before=begin, not_after=end))

    def client(self, name: str = "client") -> Pair:
        """For one who calls."""
        return self._written(name, self._ca.issue_cert(f"{name}@example.org", common_name=name))

    def _written(self, name: str, leaf: trustme.LeafCert) -> Pair:
        stem = self._folder / f"{self.name}-{name}"
        pair = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"), stem.with_suffix(".pem"))
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(pair.key))
        leaf.private_key_and_cert_chain_pem.write_to_path(str(pair.both))
        return pair


def encrypted(key: Path) -> Path:
    """The same key with a passphrase."""
    loaded = load_pem_private_key(key.read_bytes(), None)
    sealed = key.with_suffix(".sealed")
    sealed.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open-sesame")))
    return sealed
