"""What we show a broker, as it is now: files are read again when they change, and new connections use what they say.

A file that cannot be used, half written perhaps, changes nothing: what was read before stays.
"""

import logging
import ssl
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from inferstream.errors import SettingsError
from inferstream.settings import KafkaSettings, pem

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
        return pem.state(*(each for each in self if isinstance(each, Path)))


class Certificates:
    """Makes the context of the next connection. Raises SettingsError if it cannot make the first."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = files.state
        self._context = _load(files)
        self.is_stale = False
        """Whether the files as they were last seen are of no use."""

    def current(self) -> ssl.SSLContext:
        """From the files as they are, or as they last could be used."""
        state = self._files.state
        if state != self._seen:
            self._seen = state  # before they are read: what changes meanwhile is seen at the next connection
            try:
                self._context = _load(self._files)
            except SettingsError as error:
                self.is_stale = True
                log.warning("changed certificate files are not used: %s", error)
            else:
                self.is_stale = False
                log.warning("certificate files have changed: new connections to Kafka use them")
        return self._context


class Credential:
    """The user or the password that the next connection gives. Raises SettingsError if there is none to begin with."""

    def __init__(self, name: str, value: SecretStr | None, file: Path | None) -> None:
        self._name = name
        self._file = file
        given = "" if value is None else value.get_secret_value()
        self._latest = given if file is None else secret_in(file, name)
        self._told: str | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the file as it was last read is of no use."""
        return self._told is not None

    def current(self) -> str:
        """From the file as it is, or as it last could be read."""
        if self._file is not None:
            try:
                self._latest, self._told = secret_in(self._file, self._name), None
            except SettingsError as error:
                if str(error) != self._told:
                    log.warning("the former login is used: %s", error)
                self._told = str(error)
        return self._latest


class Followed(Protocol):
    """Something that files say and that is looked at again."""

    @property
    def is_stale(self) -> bool: ...
    def current(self) -> object: ...


_made: list[Followed] = []


@cache
def certificates(files: Files) -> Certificates:
    """One for all clients: those made later have what was last of use, and a broken file is said once."""
    follow(made := Certificates(files))
    return made


@cache
def credential(name: str, value: SecretStr | None, file: Path | None) -> Credential:
    """One for all clients, as `certificates`."""
    follow(made := Credential(name, value, file))
    return made


def follow(each: Followed) -> None:
    """Have `are_stale` look at it."""
    _made.append(each)


def are_stale() -> bool:
    """Whether any files in use have changed to something of no use. Looks at them now, not at the next connection."""
    for each in _made:
        each.current()
    return any(each.is_stale for each in _made)


def files_of(settings: KafkaSettings) -> Files:
    """The files that the settings name."""
    return Files(
        settings.ssl_ca_file,
        settings.ssl_certificate_file,
        settings.ssl_key_file,
        settings.ssl_key_password,
        settings.ssl_key_password_file,
    )


def username(settings: KafkaSettings) -> str | None:
    """Who we are by the settings, or by the file that they name. Raises SettingsError if that cannot be read."""
    file = settings.sasl_username_file
    return settings.sasl_username if file is None else secret_in(file, "sasl_username_file")


def secret_in(file: Path, name: str) -> str:
    """What a file says, without the end of its line. Raises SettingsError where there is nothing to use."""
    try:
        found = pem.read(f"kafka.{name}", file).content.decode().rstrip("\r\n")
    except UnicodeDecodeError:  # never what the file holds
        raise SettingsError(f"kafka.{name}: {file} cannot be read: it is not UTF-8") from None
    if not found:
        raise SettingsError(f"kafka.{name}: {file} is empty")
    return found


def _load(files: Files) -> ssl.SSLContext:
    authorities = files.authorities and pem.read("kafka.ssl_ca_file", files.authorities, "ca.crt")
    try:
        context = ssl.create_default_context(cafile=files.authorities)
    except (OSError, ssl.SSLError) as error:
        why = authorities and pem.fault(authorities, "CERTIFICATE")
        raise SettingsError(why or _unusable("ssl_ca_file", files.authorities, error)) from None
    if files.certificate is not None:
        _load_pair(context, files, files.certificate, files.key or files.certificate)
    return context


def _load_pair(context: ssl.SSLContext, files: Files, certificate: Path, key: Path) -> None:
    parts = (
        pem.read("kafka.ssl_certificate_file", certificate, "tls.crt"),
        pem.read("kafka.ssl_key_file", key, "tls.key"),
    )
    is_encrypted = False

    def key_password() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return _key_password(files)

    try:
        context.load_cert_chain(certificate, key, key_password)
    except (OSError, ssl.SSLError, ValueError) as error:  # ValueError: a password of more than 1,024 bytes
        if "MISMATCH" in str(error):
            why = f"kafka.ssl_key_file: the key in {key} is not the one of the certificate in {certificate}"
        elif is_encrypted:
            name = "ssl_key_password" if files.key_password is not None else "ssl_key_password_file"
            why = f"kafka.{name}: it is not the password of the key in {key}"
        else:
            why = pem.fault_of_pair(*parts) or _unusable("ssl_certificate_file or ssl_key_file", key, error)
        raise SettingsError(why) from None


def _key_password(files: Files) -> str:
    """Asked for only if the key is encrypted; without it OpenSSL would ask on the terminal."""
    if files.key_password is not None:
        return files.key_password.get_secret_value()
    if files.key_password_file is not None:
        return secret_in(files.key_password_file, "ssl_key_password_file")
    raise SettingsError("kafka.ssl_key_file: the key is encrypted: set kafka.ssl_key_password_file")


def _unusable(name: str, file: Path | None, error: Exception) -> str:
    """What OpenSSL says: it knows keys too weak for it, and damage that is not seen from outside."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return f"kafka.{name}: {file} cannot be used ({reason}): it may be damaged"
