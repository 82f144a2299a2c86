"""What cannot go together in how we show ourselves to Kafka is refused before anything connects."""

import pytest

from inferstream.errors import SettingsError
from inferstream.settings import KafkaSettings, load

SASL = {"security_protocol": "SASL_SSL"}
SCRAM = {**SASL, "sasl_username": "u"}
BEARER = {**SASL, "sasl_mechanism": "OAUTHBEARER"}
ASKED = {**BEARER, "oauth_token_url": "https://login.example/token", "oauth_client_id": "us"}


def loaded(given: dict[str, str]) -> KafkaSettings:
    return load(environ={f"INFERSTREAM__KAFKA__{name.upper()}": value for name, value in given.items()}).kafka


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SSL", "ssl_certificate_file": "/c"},
        {"security_protocol": "SSL", "ssl_certificate_file": "/c", "ssl_key_file": "/k", "ssl_key_password": "hush"},
        {**SCRAM, "sasl_password": "hush"},
        {**SCRAM, "sasl_password_file": "/p", "ssl_ca_file": "/ca"},
        {**SASL, "sasl_username_file": "/u", "sasl_password_file": "/p"},
        {**BEARER, "oauth_token_file": "/t"},
        {**ASKED, "oauth_client_secret": "hush"},
        {**ASKED, "oauth_client_secret_file": "/s", "oauth_scope": "kafka"},
    ],
)
def test_every_whole_way_is_taken_and_masked(given: dict[str, str]) -> None:
    settings = loaded(given)
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()


def test_protocol_and_mechanism_may_be_in_small_letters() -> None:
    settings = loaded({**SCRAM, "sasl_password": "hush", "security_protocol": "sasl_ssl", "sasl_mechanism": "plain"})
    assert (settings.security_protocol, settings.sasl_mechanism) == ("SASL_SSL", "PLAIN")
    with pytest.raises(SettingsError, match=r"kafka\.security_protocol"):
        loaded({"security_protocol": "tls"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ssl_ca_file": "/ca"}, "ssl_ca_file has no use with security_protocol PLAINTEXT: set SSL or SASL_SSL"),
        ({"security_protocol": "SSL", "ssl_key_file": "/k"}, "ssl_key_file needs ssl_certificate_file"),
        ({"security_protocol": "SSL", "ssl_key_password": "hush"}, "ssl_key_password needs ssl_certificate_file"),
        ({"sasl_password": "hush"}, "sasl_password has no use with security_protocol PLAINTEXT: set SASL_SSL"),
        ({"oauth_token_file": "/t"}, "oauth_token_file has no use with security_protocol PLAINTEXT: set SASL_SSL"),
        (SASL, "security_protocol SASL_SSL asks for a login: set sasl_username and sasl_password_file"),
        (SCRAM, "security_protocol SASL_SSL asks for a login"),
        ({**SCRAM, "sasl_password": "hush", "sasl_password_file": "/p"}, "sasl_password and sasl_password_file are"),
        ({**SCRAM, "sasl_password": "hush", "oauth_scope": "a"}, "oauth_scope has no use with sasl_mechanism SCRAM"),
        (
            {**SCRAM, "sasl_username_file": "/u", "sasl_password": "hush"},
            "sasl_username and sasl_username_file are both",
        ),
        (BEARER, "OAUTHBEARER needs one of oauth_token_file and oauth_token_url"),
        ({**BEARER, "oauth_token_file": "/t", "sasl_username": "u"}, "sasl_username has no use with sasl_mechanism"),
        ({**ASKED, "oauth_token_file": "/t"}, "OAUTHBEARER needs one of oauth_token_file and oauth_token_url"),
        (ASKED, "oauth_token_url needs oauth_client_id and oauth_client_secret_file"),
        ({**BEARER, "oauth_token_file": "/t", "oauth_client_id": "a"}, "oauth_client_id has no use with oauth_token"),
        (
            {**ASKED, "oauth_token_url": "http://login.example/"},
            "oauth_token_url: write https://host/path; http:// only",
        ),
        ({**ASKED, "oauth_token_url": "https://u:p@a/"}, "oauth_token_url: write https://host/path"),
    ],
)
def test_a_contradiction_is_one_line_that_says_what_to_do(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(given)
    assert said in str(refused.value)
    assert str(refused.value).startswith("kafka")
    assert "\n" not in str(refused.value)
    assert "hush" not in str(refused.value)
