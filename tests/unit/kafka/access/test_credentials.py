"""Certificates and passwords as people have them in files, and what happens when the files change."""

import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from inferstream.errors import SettingsError
from inferstream.kafka.access import credentials
from inferstream.kafka.access.credentials import Certificates, Credential, are_stale, certificates, credential, files_of
from inferstream.settings import KafkaSettings, pem

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("client")
CHAIN = b"".join(part.bytes() for part in ISSUED.cert_chain_pems)
KEY = ISSUED.private_key_pem.bytes()
ENCRYPTED = serialization.load_pem_private_key(KEY, None).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hush")
)
OTHER_KEY = AUTHORITY.issue_cert("other").private_key_pem.bytes()


def made(folder: Path, certificate: bytes, key: bytes | None = None, **settings: object) -> Certificates:
    """From files of that content."""
    (folder / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    (folder / "certificate.pem").write_bytes(certificate)
    if key is not None:
        (folder / "key.pem").write_bytes(key)
        settings["ssl_key_file"] = folder / "key.pem"
    named = {"ssl_ca_file": folder / "ca.pem", "ssl_certificate_file": folder / "certificate.pem", **settings}
    return Certificates(files_of(KafkaSettings.model_validate({"security_protocol": "SSL", **named})))


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (CHAIN, KEY),
        (CHAIN + KEY, None),
        (KEY + CHAIN, None),
        (CHAIN.replace(b"\n", b"\r\n"), KEY.replace(b"\n", b"\r\n")),
        (b"Bag Attributes\n  friendlyName: client\n" + CHAIN, b"Key Attributes: <No Attributes>\n" + KEY),
    ],
    ids=["two files", "key last", "key first", "CRLF", "text before"],
)
def test_pem_as_people_have_it_is_taken(tmp_path: Path, certificate: bytes, key: bytes | None) -> None:
    made(tmp_path, certificate, key).current()


def test_a_bundle_of_several_authorities_is_taken_whole(tmp_path: Path) -> None:
    certificates = made(tmp_path, CHAIN, KEY)
    bundle = b"# one\n" + AUTHORITY.cert_pem.bytes() + b"\n# another\n" + trustme.CA().cert_pem.bytes()
    (tmp_path / "ca.pem").write_bytes(bundle)
    assert len(certificates.current().get_ca_certs()) == 2


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    made(tmp_path, CHAIN, ENCRYPTED, ssl_key_password="hush")
    (tmp_path / "password").write_text("hush\n")
    made(tmp_path, CHAIN, ENCRYPTED, ssl_key_password_file=tmp_path / "password")
    with pytest.raises(SettingsError, match=r"the key is encrypted: set kafka.ssl_key_password_file"):
        made(tmp_path, CHAIN, ENCRYPTED)
    key = tmp_path / "key.pem"
    for wrong in ("wrong-hush", "wrong-hush" * 200):
        with pytest.raises(SettingsError) as refused:
            made(tmp_path, CHAIN, ENCRYPTED, ssl_key_password=wrong)
        assert str(refused.value) == f"kafka.ssl_key_password: it is not the password of the key in {key}"
    (tmp_path / "password").write_text("wrong-hush")
    with pytest.raises(SettingsError, match=r"^kafka.ssl_key_password_file: it is not the password of the key in"):
        made(tmp_path, CHAIN, ENCRYPTED, ssl_key_password_file=tmp_path / "password")


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        (CHAIN, OTHER_KEY, "ssl_key_file: the key in {k} is not the one of the certificate in {c}"),
        (CHAIN, b"\xfe\xed\xfe\xed\x00\x00", "ssl_key_file: {k} is not PEM: `openssl pkcs12"),
        (b"\x30\x82\x00", KEY, "ssl_certificate_file: {c} is not PEM: `openssl pkcs12"),
        (b"", KEY, "ssl_certificate_file: {c} is empty"),
        (CHAIN, None, "ssl_key_file: {c} holds no private key in PEM: name the file that does"),
        (CHAIN, CHAIN, "ssl_key_file: {k} holds no private key"),
        (KEY, KEY, "ssl_certificate_file: {c} holds no certificate"),
        (KEY, CHAIN, "ssl_certificate_file: {c} holds the key and {k} the certificate: swap the two"),
        (CHAIN[: len(CHAIN) // 2], KEY, "ssl_certificate_file: {c} is cut off in the midst of PEM"),
        (CHAIN + CHAIN[:200], KEY, "ssl_certificate_file: {c} is cut off"),
        (CHAIN, KEY[:-12], "ssl_key_file: {k} is cut off"),
        (CHAIN, ENCRYPTED[:-12], "ssl_key_file: {k} is cut off"),
        (CHAIN[:100] + b"AAAA" + CHAIN[104:], KEY, "ssl_certificate_file: a certificate in {c} is damaged"),
        (CHAIN, KEY[:60] + b"!!!!" + KEY[64:], "ssl_certificate_file or ssl_key_file: {k} cannot be used"),
    ],
    ids=[
        "another key",
        "binary key",
        "binary certificate",
        "empty",
        "no key at all",
        "certificate twice",
        "key twice",
        "swapped",
        "half written",
        "half a chain",
        "half a key",
        "half an encrypted key",
        "damaged certificate",
        "damaged key",
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, certificate: bytes, key: bytes | None, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        made(tmp_path, certificate, key)
    files = {"c": tmp_path / "certificate.pem", "k": tmp_path / "key.pem"}
    assert str(refused.value).startswith(f"kafka.{said.format(**files)}")
    assert "\n" not in str(refused.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    given = {"security_protocol": "SSL", "ssl_ca_file": tmp_path / "absent.pem"}
    with pytest.raises(SettingsError, match=r"ssl_ca_file: .*absent.pem cannot be read .No such file"):
        Certificates(files_of(KafkaSettings.model_validate(given)))


@pytest.mark.parametrize(
    ("setting", "usual"),
    [("ssl_ca_file", "ca.crt"), ("ssl_certificate_file", "tls.crt"), ("ssl_key_file", "tls.key")],
)
def test_a_folder_is_said_to_be_one(tmp_path: Path, setting: str, usual: str) -> None:
    """A secret that is mounted is a folder; the files are in it."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    said = f"kafka.{setting}: {folder} is a folder: name the file in it, e.g. {folder / usual}"
    with pytest.raises(SettingsError) as refused:
        made(tmp_path, CHAIN, KEY if setting != "ssl_key_file" else None, **{setting: folder})
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (KEY, "holds no certificate"), (CHAIN[:300], "is cut off")]
)
def test_authorities_that_are_none_are_said(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "authorities.pem"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        made(tmp_path, CHAIN, KEY, ssl_ca_file=file)
    assert str(refused.value).startswith(f"kafka.ssl_ca_file: {file} {said}")


def test_a_key_that_was_read_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(KEY)
    assert "BEGIN" not in repr(pem.read("kafka.ssl_key_file", tmp_path / "key.pem"))


def test_new_connections_use_changed_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = made(tmp_path, CHAIN, KEY)
    before = certificates.current()
    assert certificates.current() is before
    again = AUTHORITY.issue_cert("client")
    (tmp_path / "key.pem").write_bytes(again.private_key_pem.bytes())
    assert certificates.current() is before, "the key is there, its certificate is not"
    assert certificates.current() is before
    assert caplog.text.count("changed certificate files are not used") == 1
    assert "BEGIN" not in caplog.text
    (tmp_path / "certificate.pem").write_bytes(again.cert_chain_pems[0].bytes())
    assert certificates.current() is not before
    (tmp_path / "certificate.pem").unlink()
    after = certificates.current()
    assert certificates.current() is after


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    """Kubernetes puts a new folder in place, by renaming a link; size and time may be the same."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.pem").write_bytes(CHAIN + KEY)
        os.utime(tmp_path / name / "all.pem", ns=(1, 1))
    (tmp_path / "..data").symlink_to(tmp_path / "one")
    given = {"security_protocol": "SSL", "ssl_certificate_file": tmp_path / "..data" / "all.pem"}
    certificates = Certificates(files_of(KafkaSettings.model_validate(given)))
    before = certificates.current()
    (tmp_path / "..new").symlink_to(tmp_path / "two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert certificates.current() is not before


def test_a_password_is_read_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\r\n")
    password = Credential("sasl_password_file", None, file)
    assert password.current() == "first"
    file.write_text(" second ")
    assert password.current() == " second "
    file.write_text("")
    assert password.current() == " second ", "a file that is being written"
    file.unlink()
    assert password.current() == " second "
    assert "second" not in repr(password)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["absent", "empty", "not text"])
def test_without_a_password_nothing_begins(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"kafka.sasl_password_file: .*password (cannot be read|is empty)"):
        Credential("sasl_password_file", None, file)


@pytest.fixture
def _nothing_made_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_made", [])


@pytest.mark.usefixtures("_nothing_made_yet")
def test_files_of_no_use_are_seen_without_a_new_connection_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(tmp_path, CHAIN, KEY)
    files = files_of(
        KafkaSettings.model_validate(
            {
                "security_protocol": "SSL",
                "ssl_ca_file": tmp_path / "ca.pem",
                "ssl_certificate_file": tmp_path / "certificate.pem",
                "ssl_key_file": tmp_path / "key.pem",
            }
        )
    )
    secret = tmp_path / "secret"
    secret.write_text("one")
    certificates(files)
    login = credential("sasl_password", None, secret)
    assert not are_stale()
    for file, usable in ((secret, b"two"), (tmp_path / "key.pem", KEY)):
        file.write_bytes(b"")
        caplog.clear()
        assert [are_stale() for _ in range(3)] == [True] * 3
        assert len(caplog.records) == 1
        file.write_bytes(usable)
        assert not are_stale()
    assert login.current() == "two"
