"""Real Apache Kafka that lets in only whom it knows: TLS, SASL and ACLs (StandardAuthorizer), one node in KRaft mode.

Listeners: LOGIN is SASL over TLS (SCRAM-SHA-512, PLAIN, OAUTHBEARER), CERTIFICATE is TLS that asks for ours, INSIDE is
plain, for ourselves: whoever comes through it may do anything.
"""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from confluent_kafka import admin as confluent
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from inferstream.kafka import Acl
from inferstream.local import LocalStackError, broker, tail
from inferstream.local.process import Identity, free_ports, is_alive, spawn, stop_group

USER, PASSWORD = "service", "first-password"
_CLUSTER_ID = "inferstreamsecurecluste"
_JAVA = ("java", "-Xmx320m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_READY_SECONDS = 90.0
_ASK_SECONDS = 30.0
_SASL = "org.apache.kafka.common.security"


class TokenSigner:
    """Signs tokens that the broker takes, with a key of which it has the public half."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)

    def token(self, user: str, seconds: float = 300) -> str:
        """A JWT that ends then."""
        now = int(time.time())
        claims = {"sub": user, "iss": "tests", "aud": "kafka", "iat": now, "exp": now + int(seconds)}
        parts = b".".join(_base64(json.dumps(p).encode()) for p in ({"alg": "RS256", "kid": "k"}, claims))
        return (parts + b"." + _base64(self._key.sign(parts, padding.PKCS1v15(), hashes.SHA256()))).decode()

    def jwks(self) -> str:
        numbers = self._key.public_key().public_numbers()
        modulus, exponent = (_base64(n.to_bytes((n.bit_length() + 7) // 8)) for n in (numbers.n, numbers.e))
        key = {"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "n": modulus.decode(), "e": exponent.decode()}
        return json.dumps({"keys": [key]})


class SecuredBroker:
    """The broker. Methods block. Others than we reach its listener LOGIN at `host`."""

    def __init__(self, folder: Path, java: Iterable[str], reauth_ms: int = 0, host: str = "localhost") -> None:
        self.folder = folder
        self.host = host
        self.authority, self.clients = trustme.CA(), trustme.CA()
        self.signer = TokenSigner()
        self.inside, self.login, self.certificate, self._controller = free_ports(4)
        self.ca_file = folder / "authority.pem"
        self._java = list(java)
        self._reauth_ms = reauth_ms
        self._running: Identity | None = None

    def start(self) -> None:
        """Format and start."""
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.clients.cert_pem.write_to_path(str(self.folder / "clients.pem"))
        write_pem(self.folder / "server.pem", self.authority.issue_cert("localhost", self.host))
        (self.folder / "jwks.json").write_text(self.signer.jwks())
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._properties), "-S", scram]
        done = subprocess.run([*self._java, *tool], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalStackError(f"Kafka's storage could not be formatted: {(done.stderr or done.stdout)[-600:]}")
        self.resume()

    def resume(self) -> None:
        """Start once more."""
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks_url}"
        log = self.folder / "broker.log"
        identity = spawn([*self._java, allowed, "kafka.Kafka", str(self._properties)], os.environ, log)
        self._running = identity
        deadline = time.monotonic() + _READY_SECONDS
        while not broker.answers(self.inside):
            if not is_alive(identity) or time.monotonic() > deadline:
                raise LocalStackError(f"Kafka did not start; {log} ends with:\n{tail(log)}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._running is not None:
            stop_group(self._running, 0)

    def grant(self, acls: Iterable[Acl], principal: str = f"User:{USER}") -> None:
        admin = self._admin()
        for future in admin.create_acls([_binding(acl, principal) for acl in acls]).values():
            future.result(_ASK_SECONDS)

    def revoke(self, acl: Acl, principal: str = f"User:{USER}") -> None:
        admin = self._admin()
        (future,) = admin.delete_acls([_binding(acl, principal, confluent.AclBindingFilter)]).values()
        assert len(future.result(_ASK_SECONDS)) == 1, f"{acl} was not granted"

    def set_password(self, user: str, password: str) -> None:
        info = confluent.ScramCredentialInfo(confluent.ScramMechanism.SCRAM_SHA_512, 4_096)
        change = confluent.UserScramCredentialUpsertion(user, info, password.encode())
        admin = self._admin()
        admin.alter_user_scram_credentials([change])[user].result(_ASK_SECONDS)

    def forget_user(self, user: str) -> None:
        change = confluent.UserScramCredentialDeletion(user, confluent.ScramMechanism.SCRAM_SHA_512)
        admin = self._admin()
        admin.alter_user_scram_credentials([change])[user].result(_ASK_SECONDS)

    def _admin(self) -> confluent.AdminClient:
        return confluent.AdminClient({"bootstrap.servers": f"localhost:{self.inside}"})

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _jwks_url(self) -> str:
        return (self.folder / "jwks.json").as_uri()

    def _settings(self) -> dict[str, object]:
        ports = {"INSIDE": self.inside, "CERTIFICATE": self.certificate}
        listeners = [f"LOGIN://{self.host}:{self.login}", *(f"{n}://localhost:{p}" for n, p in ports.items())]
        login, oauth = "listener.name.login", "listener.name.login.oauthbearer"
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@localhost:{self._controller}",
            "listeners": ",".join([*listeners, f"CONTROLLER://localhost:{self._controller}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,CERTIFICATE:SSL",
            "inter.broker.listener.name": "INSIDE",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "log",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.folder / "server.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.folder / "clients.pem",
            "listener.name.certificate.ssl.client.auth": "required",
            f"{login}.ssl.client.auth": "requested",  # who shows a certificate must show a good one
            "listener.name.certificate.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            f"{login}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
            f"{login}.connections.max.reauth.ms": self._reauth_ms,
            f"{login}.scram-sha-512.sasl.jaas.config": f"{_SASL}.scram.ScramLoginModule required;",
            f"{login}.plain.sasl.jaas.config": f'{_SASL}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
            f"{oauth}.sasl.jaas.config": f"{_SASL}.oauthbearer.OAuthBearerLoginModule required;",
            f"{oauth}.sasl.server.callback.handler.class": f"{_SASL}.oauthbearer.OAuthBearerValidatorCallbackHandler",
            f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": self._jwks_url,
            f"{oauth}.sasl.oauthbearer.expected.audience": "kafka",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
        }


@contextmanager
def secured_broker(folder: Path, reauth_ms: int = 0, host: str = "localhost") -> Iterator[SecuredBroker]:
    """Running, on ports of its own."""
    started = SecuredBroker(folder, [*_JAVA, "-cp", f"{broker.jars(print)}/*"], reauth_ms, host)
    try:
        started.start()
        yield started
    finally:
        started.stop()


def write_pem(file: Path, issued: trustme.LeafCert, password: str | None = None) -> None:
    """Certificate, chain and key (PKCS #8) in one file, which is there whole or not at all."""
    kept: Any = serialization.NoEncryption()
    if password is not None:
        kept = serialization.BestAvailableEncryption(password.encode())
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    parts = [key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)]
    parts += [each.bytes() for each in issued.cert_chain_pems]
    put(file, b"".join(parts))


def put(file: Path, content: bytes) -> None:
    """As Kubernetes does: another file takes its place."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(content)
    beside.replace(file)


def _binding(acl: Acl, principal: str, kind: Any = confluent.AclBinding) -> Any:
    types = {"topic": "TOPIC", "group": "GROUP", "transactional id": "TRANSACTIONAL_ID"}
    return kind(
        confluent.ResourceType[types[acl.resource]],
        acl.name,
        confluent.ResourcePatternType[acl.pattern.upper()],
        principal,
        "*",
        confluent.AclOperation[acl.operation],
        confluent.AclPermissionType.ALLOW,
    )


def _base64(given: bytes) -> bytes:
    return base64.urlsafe_b64encode(given).rstrip(b"=")


def as_environ(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings of `kafka` as variables."""
    return {f"INFERSTREAM__KAFKA__{name.upper()}": str(value) for name, value in settings.items()}
