"""Files of a connection: what is taken, what is refused in one clear line, and when they count as changed."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.triton.certificates import Authority, encrypted

from inferstream.errors import SettingsError
from inferstream.settings import TritonSettings, pem
from inferstream.triton import credentials
from inferstream.triton.credentials import headers_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def refused(**settings: Any) -> str:
    with pytest.raises(SettingsError) as error:
        credentials.read(TritonSettings(tls=True, **settings))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_certificate_and_its_key_are_taken_apart_or_in_one_file(authority: Authority) -> None:
    pair = authority.client()
    for files in ((pair.certificate, pair.key), (pair.both, pair.both), (pair.both, None)):
        settings = TritonSettings(tls=True, ca_file=authority.file, certificate_file=files[0], key_file=files[1])
        assert credentials.read(settings).channel is not None
    authority.file.write_bytes("# Autorität\r\n".encode() + authority.pem)
    assert credentials.read(TritonSettings(tls=True, ca_file=authority.file)).channel is not None
    assert credentials.read(TritonSettings(tls=True)).channel is not None
    assert credentials.read(TritonSettings()).channel is None


def test_what_is_wrong_with_a_file_is_said(authority: Authority, tmp_path: Path) -> None:
    pair, other = authority.client(), authority.client("other")
    missing, garbage = tmp_path / "missing.pem", tmp_path / "garbage.pem"
    garbage.write_text("hello")
    assert refused(ca_file=missing) == f"triton.ca_file: {missing} cannot be read (No such file or directory)"
    assert (
        refused(ca_file=tmp_path)
        == f"triton.ca_file: {tmp_path} is a folder: name the file in it, e.g. {tmp_path}/ca.crt"
    )
    assert refused(ca_file=garbage) == f"triton.ca_file: {garbage} holds no certificate in PEM"
    assert refused(ca_file=pair.key) == f"triton.ca_file: {pair.key} holds no certificate in PEM"
    assert "missing.pem cannot be read" in refused(certificate_file=missing, key_file=pair.key)
    assert "triton.key_file" in refused(certificate_file=pair.certificate, key_file=missing)
    assert "is not the one of the certificate" in refused(certificate_file=pair.certificate, key_file=other.key)
    assert f"certificate_file: {garbage} is not PEM" in refused(certificate_file=garbage, key_file=pair.key)
    assert f"key_file: {pair.certificate} holds no private key" in refused(certificate_file=pair.certificate)
    assert "the certificate: swap the two" in refused(certificate_file=pair.key, key_file=pair.certificate)
    sealed = encrypted(pair.key)
    words = refused(certificate_file=pair.certificate, key_file=sealed)
    assert f"the key in {sealed} is encrypted: give one without a passphrase" in words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ca_file": "a"}, "ca_file has no use without TLS: set tls to true"),
        ({"certificate_file": "a", "key_file": "b"}, "certificate_file has no use without TLS"),
        ({"tls": True, "key_file": "b"}, "set certificate_file"),
        ({"access_key": "a=b", "access_key_file": "c"}, "access_key and access_key_file are both set"),
        ({"model_control_key": "a=b", "model_control_key_file": "c"}, "both set"),
        ({"access_key": "Name=value"}, "the name in small letters"),
        ({"access_key": "name"}, "write NAME=VALUE"),
        ({"access_key": "name=läuft nicht"}, "write NAME=VALUE"),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_settings(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        TritonSettings(**given)


def test_a_key_is_a_header_from_a_setting_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("svc=a,b=c d\n")
    given = TritonSettings(access_key="svc=a,b=c d")
    for read in (credentials.read(given), credentials.read(TritonSettings(access_key_file=file))):
        assert read.headers == (("triton-grpc-protocol-svc", "a,b=c d"),)
    assert credentials.read(TritonSettings()).headers == ()
    assert "a,b=c d" not in repr(given)


@pytest.mark.parametrize("text", ["", "hush", "Svc=hush", "a=b\nc=hush", "a=\x00hush", "svc=\xff hush"])
def test_a_key_file_that_holds_none_is_refused_without_its_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match=r"triton\.access_key_file: .* must hold one line NAME=VALUE") as error:
        headers_of("access_key", None, file)
    assert "hush" not in str(error.value)


def test_a_file_has_changed_when_it_was_written_replaced_or_turned_over(authority: Authority, tmp_path: Path) -> None:
    """The last is what Kubernetes does: the file is a link into a folder that is a link, too."""
    pair, other = authority.client(), authority.client("other")
    for number, source in enumerate((pair, other)):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "tls.pem").write_bytes(source.both.read_bytes())
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "tls.pem").symlink_to("..data/tls.pem")
    settings = TritonSettings(tls=True, certificate_file=tmp_path / "tls.pem")
    seen = [credentials.state(settings)]
    (tmp_path / "..fresh").symlink_to("..1")
    os.replace(tmp_path / "..fresh", tmp_path / "..data")
    seen.append(credentials.state(settings))
    (tmp_path / "..1" / "tls.pem").write_bytes(pair.both.read_bytes())
    seen.append(credentials.state(settings))
    text = (tmp_path / "tls.pem").read_bytes()
    (tmp_path / "tls.pem").write_bytes(text[::-1])
    seen.append(credentials.state(settings))
    (tmp_path / "tls.pem").unlink()
    seen.append(credentials.state(settings))
    assert len(set(seen)) == 5
    assert credentials.state(settings) == seen[-1]


def test_what_changes_while_it_is_read_is_read_again(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the certificate were the old one and its key the new one, which gRPC takes and never connects with."""
    pair, others = authority.client(), [authority.client(f"other-{number}") for number in range(9)]
    settings = TritonSettings(tls=True, certificate_file=pair.certificate, key_file=pair.key)
    whole, times = pem.read, 0

    def and_then_another(setting: str, file: Path, usual_name: str | None = None) -> pem.Part:
        nonlocal times
        content = whole(setting, file, usual_name)
        if setting == "triton.certificate_file" and times:
            times -= 1
            pair.replace_by(others[times])
        return content

    monkeypatch.setattr(pem, "read", and_then_another)
    times = 3
    assert credentials.read(settings).state == credentials.state(settings)
    assert times == 0
    times = 9
    with pytest.raises(SettingsError, match="put them in place at once"):
        credentials.read(settings)
