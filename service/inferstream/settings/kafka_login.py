"""What cannot go together in how we show ourselves to Kafka, found before anything connects. No line holds a value."""

from collections.abc import Iterator, Mapping
from typing import Any

Given = Mapping[str, Any]
"""Settings of `kafka` by name; None: not set."""


def contradictions(given: Given) -> list[str]:
    """Each in a line that says what to do; empty if all is well."""
    return [*_files_beside_values(given), *_tls(given), *_sasl(given)]


def _is_set(given: Given, prefix: str) -> list[str]:
    return [name for name, value in given.items() if name.startswith(prefix) and value is not None]


def _files_beside_values(given: Given) -> Iterator[str]:
    for name in ("sasl_username", "sasl_password", "ssl_key_password", "oauth_client_secret"):
        if given[name] is not None and given[f"{name}_file"] is not None:
            yield f"{name} and {name}_file are both set: keep one; the file is read again when it changes"


def _tls(given: Given) -> Iterator[str]:
    protocol, named = given["security_protocol"], _is_set(given, "ssl_")
    if named and not protocol.endswith("SSL"):
        yield f"{named[0]} has no use with security_protocol {protocol}: set SSL or SASL_SSL, or leave it out"
    elif given["ssl_certificate_file"] is None and (of_key := _is_set(given, "ssl_key_")):
        yield f"{of_key[0]} needs ssl_certificate_file: name the certificate that the key belongs to"


def _sasl(given: Given) -> Iterator[str]:
    protocol, mechanism = given["security_protocol"], given["sasl_mechanism"]
    by_password = [name for name in _is_set(given, "sasl_") if name != "sasl_mechanism"]
    by_token = _is_set(given, "oauth_")
    if not protocol.startswith("SASL_"):
        for name in (by_password + by_token)[:1]:
            yield f"{name} has no use with security_protocol {protocol}: set SASL_SSL, or leave it out"
    elif mechanism == "OAUTHBEARER":
        for name in by_password[:1]:
            yield f"{name} has no use with sasl_mechanism OAUTHBEARER: set oauth_token_file or oauth_token_url"
        yield from _oauth(given)
    else:
        for name in by_token[:1]:
            yield f"{name} has no use with sasl_mechanism {mechanism}: set OAUTHBEARER, or leave it out"
        if not _is_set(given, "sasl_username") or not _is_set(given, "sasl_password"):
            yield (
                f"security_protocol {protocol} asks for a login: set sasl_username and sasl_password_file "
                "(or sasl_username_file and sasl_password)"
            )


def _oauth(given: Given) -> Iterator[str]:
    url, file = given["oauth_token_url"], given["oauth_token_file"]
    of_url = [name for name in _is_set(given, "oauth_") if name not in ("oauth_token_url", "oauth_token_file")]
    if (url is None) == (file is None):
        yield "sasl_mechanism OAUTHBEARER needs one of oauth_token_file and oauth_token_url"
    elif url is None:
        for name in of_url[:1]:
            yield f"{name} has no use with oauth_token_file: whoever writes the file asks for the token"
    elif given["oauth_client_id"] is None or not _is_set(given, "oauth_client_secret"):
        yield "oauth_token_url needs oauth_client_id and oauth_client_secret_file (or …_secret)"
