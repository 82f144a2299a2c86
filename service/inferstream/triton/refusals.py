"""Why a server is not there for us, in words that say what to do. gRPC says UNAVAILABLE of all of it."""

import re

import grpc

from inferstream.settings import TritonSettings

_RESTRICTED = "This protocol is restricted"
_BEFORE_ANY_CALL = "failed to connect to all addresses"
_MOST = 300  # characters of a server's own words


def is_restricted(error: grpc.RpcError) -> bool:
    """The server keeps what was asked for those who send a key."""
    return said(error).startswith(_RESTRICTED)


def said(error: grpc.RpcError) -> str:
    """The server's own words: they name tensors and shapes, never data."""
    return " ".join(str(error.details() or "").split())[:_MOST]


def reason(error: grpc.RpcError, settings: TritonSettings) -> str | None:
    """What is wrong and what to do, where that is known."""
    words = " ".join(str(error.details() or "").split())
    if words.startswith(_RESTRICTED):
        return _key_is_missing(words, settings.access_key is None and settings.access_key_file is None)
    if error.code() is not grpc.StatusCode.UNAVAILABLE or not words.startswith(_BEFORE_ANY_CALL):
        return None
    return next((why for phrase, why in _reasons(settings) if phrase in words), None)


def no_answer(url: str, error: grpc.RpcError, why: str | None) -> str:
    """One line about a server that does not answer, for the `reason` where that is known."""
    return f"no answer from Triton at {url}" + (
        f": {why}" if why else f" ({error.code().name}); is `triton.url` right?"
    )


def _reasons(settings: TritonSettings) -> list[tuple[str, str]]:
    signed = "the authority in triton.ca_file" if settings.ca_file else "anybody gRPC knows: set triton.ca_file"
    if not settings.tls:
        return [("Socket closed", "it hangs up before the first call: if it speaks TLS, set triton.tls to true")]
    wants = (
        "it does not accept our certificate (triton.certificate_file): its --grpc-root-cert must hold who signed it, "
        "and it must not have expired"
        if settings.certificate_file
        else "it wants a certificate of ours: set triton.certificate_file and triton.key_file"
    )
    return [
        ("certificate has expired", "its certificate has expired: renew it, and restart the server"),
        ("certificate is not yet valid", "its certificate is not valid yet: look at the clocks"),
        ("Hostname Verification", "its certificate is for another name: write in triton.url a name that it is for"),
        ("CERTIFICATE_VERIFY_FAILED", f"its certificate is not signed by {signed}"),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS there: set triton.tls to false, or its --grpc-use-ssl to true"),
        ("Socket closed", f"it hangs up in the TLS handshake; most likely {wants}"),
        ("Connection reset", f"it hangs up in the TLS handshake; most likely {wants}"),
    ]


def _key_is_missing(words: str, is_none_given: bool) -> str:
    """Triton says the same whether no key or a wrong one was sent, and names the header."""
    found = re.search(r"'triton-grpc-protocol-(\S+)'", words)
    name = found[1] if found else "NAME"
    if name != name.lower():
        return (
            f"its --grpc-restricted-protocol names a key '{name}', and no call can carry capitals there: "
            "write it in small letters"
        )
    have = "set triton.access_key (or access_key_file) to" if is_none_given else "triton.access_key is not its"
    return f"it answers this only with a key: {have} {name}=VALUE as in its --grpc-restricted-protocol"
