"""What we show a broker, as it is now: files are read again when they change, and new connections use what they say.

A file that cannot be used, half written perhaps, changes nothing: what was read before stays.
"""

import logging
import os
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from inferstream.errors import SettingsError
from inferstream.settings import KafkaSettings

log = logging.getLogger(__name__)


class Files(NamedTuple):
    """Where the parts of our side of TLS are."""

    authorities: Path | None
    certificate: Path | None
    key: Path | None
    key_password: SecretStr | None
    key_password_file: Path | None

    @property
    def state(self) -> tuple[object, ...]:
        """Differs when any file does, also where a link to it was turned."""
        return tuple(_state(each) for each in self if isinstance(each, Path))


class Certificates:
    """Makes the context of the next connection. Raises SettingsError if it cannot make the first."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = files.state
        self._context = _load(files)

    def current(self) -> ssl.SSLContext:
        """From the files as they are, or as they last could be used."""
        state = self._files.state
        if state != self._seen:
            self._seen = state  # before they are read: what changes meanwhile is seen at the next connection
            try:
                self._context = _load(self._files)
            except SettingsError as error:
                log.warning("changed certificate files are not used: %s", error)
            else:
                log.warning("certificate files have changed: new connections to Kafka use them")
        return self._context


class Password:
    """The password that the next connection gives. Raises SettingsError if there is none to begin with."""

    def __init__(self, name: str, value: SecretStr | None, file: Path | None) -> None:
        self._name = name
        self._file = file
        given = "" if value is None else value.get_secret_value()
        self._latest = given if file is None else secret_in(file, name)

    def current(self) -> str:
        """From the file as it is, or as it last could be read."""
        if self._file is not None:
            try:
                self._latest = secret_in(self._file, self._name)
            except SettingsError as error:
                log.warning("the former password is used: %s", error)
        return self._latest


@cache
def certificates(files: Files) -> Certificates:
    """One for all clients: those made later have what was last of use, and a broken file is said once."""
    return Certificates(files)


@cache
def password(name: str, value: SecretStr | None, file: Path | None) -> Password:
    """One for all clients, as `certificates`."""
    return Password(name, value, file)


def files_of(settings: KafkaSettings) -> Files:
    """The files that the settings name."""
    return Files(
        settings.ssl_ca_file,
        settings.ssl_certificate_file,
        settings.ssl_key_file,
        settings.ssl_key_password,
        settings.ssl_key_password_file,
    )


def secret_in(file: Path, name: str) -> str:
    """What a file says, without the end of its line. Raises SettingsError where there is nothing to use."""
    try:
        found = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"kafka.{name}: {file} cannot be read: {_reason(error)}") from None
    if not found:
        raise SettingsError(f"kafka.{name}: {file} is empty")
    return found


def _state(file: Path) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _load(files: Files) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.authorities)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(_unusable("ssl_ca_file", files.authorities, error)) from None
    if files.certificate is not None:
        try:
            context.load_cert_chain(files.certificate, files.key, lambda: _key_password(files))
        except (OSError, ssl.SSLError) as error:
            raise SettingsError("; ".join(_unusable_pair(files, error))) from None
    return context


def _key_password(files: Files) -> str:
    """Asked for only if the key is encrypted; without it OpenSSL would ask on the terminal."""
    if files.key_password is not None:
        return files.key_password.get_secret_value()
    if files.key_password_file is not None:
        return secret_in(files.key_password_file, "ssl_key_password_file")
    raise SettingsError("kafka.ssl_key_file: the key is encrypted: set kafka.ssl_key_password_file")


def _unusable_pair(files: Files, error: Exception) -> Iterator[str]:
    """A certificate or its key; OpenSSL does not say which."""
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        yield f"kafka.ssl_key_file: the key in {files.key or files.certificate} is not that of the certificate"
    elif files.key_password is not None or files.key_password_file is not None:
        yield _unusable("ssl_certificate_file, ssl_key_file or ssl_key_password", files.certificate, error)
    else:
        yield _unusable("ssl_certificate_file or ssl_key_file", files.certificate, error)


def _unusable(name: str, file: Path | None, error: Exception) -> str:
    said = f"kafka.{name}: {file} cannot be used: {_reason(error)}"
    is_other_form = file is not None and os.access(file, os.R_OK) and b"-----BEGIN" not in file.read_bytes()
    return f"{said}; it must be PEM: `openssl pkcs12 -nodes -in FILE` makes it of PKCS #12" if is_other_form else said


def _reason(error: Exception) -> str:
    """Never what the file holds."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)
