"""What a connection is made with, from files that may change while we run: certificates, a key, what a server wants to
see in a header."""

import ssl
from pathlib import Path
from typing import NamedTuple

import grpc
from pydantic import SecretStr

from inferstream.errors import SettingsError
from inferstream.settings import TritonSettings, pem
from inferstream.settings.values import SERVER_KEY

Headers = tuple[tuple[str, str], ...]

_HEADER = "triton-grpc-protocol-"
_ATTEMPTS = 5


class Credentials(NamedTuple):
    """As the files were at one moment."""

    state: pem.State
    channel: grpc.ChannelCredentials | None
    """None: without TLS."""
    headers: Headers


def state(settings: TritonSettings) -> pem.State:
    """Of all files of a connection, seen through links: Kubernetes turns one over to give new files."""
    return pem.state(settings.ca_file, settings.certificate_file, settings.key_file, settings.access_key_file)


def read(settings: TritonSettings) -> Credentials:
    """All of them. Raises SettingsError if one is missing or broken, or the key is not the certificate's.

    What changes while it is read is read again: half of it may be old.
    """
    for _ in range(_ATTEMPTS):
        before = state(settings)
        try:
            channel = _credentials(settings) if settings.tls else None
            headers = headers_of("access_key", settings.access_key, settings.access_key_file)
        except SettingsError:
            if state(settings) == before:
                raise
            continue
        if state(settings) == before:
            return Credentials(before, channel, headers)
    raise SettingsError("triton: its files change while they are read; put them in place at once, by a rename")


def headers_of(name: str, key: SecretStr | None, file: Path | None) -> Headers:
    """The header by which a server knows whom it serves, from a setting or its file. Raises SettingsError."""
    if file is not None:
        text = pem.read(f"triton.{name}_file", file).content.decode(errors="replace").strip()
        if not SERVER_KEY.fullmatch(text):
            raise SettingsError(
                f"triton.{name}_file: {file} must hold one line NAME=VALUE, the name in small letters, "
                "as after the protocols in the server's --grpc-restricted-protocol"
            )
        key = SecretStr(text)
    if key is None:
        return ()
    said, _, value = key.get_secret_value().partition("=")
    return ((f"{_HEADER}{said}", value),)


def _credentials(settings: TritonSettings) -> grpc.ChannelCredentials:
    """gRPC would take anything and then never connect, so Python's TLS looks at the files first."""
    ca, certificate, key = settings.ca_file, settings.certificate_file, settings.key_file or settings.certificate_file
    authority = None if ca is None else pem.read("triton.ca_file", ca, "ca.crt").content
    judge = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is not None:
        try:
            judge.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise SettingsError(f"triton.ca_file: {ca} holds no certificate in PEM") from None
    if certificate is None or key is None:
        return grpc.ssl_channel_credentials(authority)
    chain = pem.read("triton.certificate_file", certificate, "tls.crt")
    private = pem.read("triton.key_file", key, "tls.key")
    _judge_pair(judge, chain, private)
    return grpc.ssl_channel_credentials(authority, private.content, chain.content)


def _judge_pair(judge: ssl.SSLContext, chain: pem.Part, private: pem.Part) -> None:
    certificate, key = chain.file, private.file
    is_encrypted = False

    def passphrase() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return ""

    try:
        judge.load_cert_chain(certificate, key, passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        if is_encrypted:
            why = f"the key in {key} is encrypted: give one without a passphrase, and guard the file"
        elif "MISMATCH" in str(error):
            why = f"the key in {key} is not the one of the certificate in {certificate}"
        elif (fault := pem.fault_of_pair(chain, private)) is not None:
            raise SettingsError(fault) from None
        else:
            why = f"{certificate} and {key} must hold our certificate and its key in PEM"
        raise SettingsError(f"triton.certificate_file: {why}") from None
