"""Real Apache Kafka with TLS, SASL and ACLs: every way in, every mistake in words, the least rights, and rotation."""

import asyncio
import datetime
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from tests.contract.cluster import Group, record
from tests.integration.conftest import PARTITIONS, Bench
from tests.integration.secured import PASSWORD, USER, SecuredBroker, as_environ, put, secured_broker, write_pem

from inferstream.errors import ContractMismatch, LoginRefused, Unavailable
from inferstream.kafka import Acl, Admin, KafkaSink, KafkaSource, KafkaTransactions, of_service, of_tools
from inferstream.kafka.access.acls import TOOLS
from inferstream.local import Stack
from inferstream.needs import check_rights
from inferstream.operate.check import find
from inferstream.settings import KafkaSettings, Settings, load

pytestmark = [pytest.mark.integration, pytest.mark.apache]

REAUTH_MS = 3_000
"""How long a login holds: after that the broker closes the connection, which aiokafka never renews (KIP-368)."""
ACL_SECONDS = 10.0
OTHER_USER = "service-2"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, apache_available: None) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured"), REAUTH_MS) as started:
        write_pem(started.folder / "client.pem", started.clients.issue_cert("client", common_name=USER))
        write_pem(started.folder / "encrypted.pem", started.clients.issue_cert("client", common_name=USER), "hush")
        write_pem(started.folder / "stranger.pem", trustme.CA().issue_cert("client", common_name=USER))
        trustme.CA().cert_pem.write_to_path(str(started.folder / "other.pem"))
        bundle = (started.folder / "other.pem").read_bytes() + b"\n# ours\n" + started.ca_file.read_bytes()
        (started.folder / "bundle.pem").write_bytes(bundle.replace(b"\n", b"\r\n"))
        (started.folder / "token").write_text(started.signer.token(USER) + "\n")
        (started.folder / "no-token").write_text("a.b.c")
        yield started


@pytest.fixture(autouse=True)
async def goodbyes() -> AsyncIterator[None]:
    """The end of TLS takes a round trip, and aiokafka does not wait for it where it lets go of a first connection."""
    yield
    await asyncio.sleep(0.2)


def login(broker: SecuredBroker, **changes: object) -> dict[str, object]:
    """The settings of `kafka` for SCRAM over TLS."""
    return {
        "bootstrap_servers": f"localhost:{broker.login}",
        "security_protocol": "SASL_SSL",
        "ssl_ca_file": broker.ca_file,
        "sasl_username": USER,
        "sasl_password": PASSWORD,
        **changes,
    }


def certificate(broker: SecuredBroker, **changes: object) -> dict[str, object]:
    """The settings of `kafka` for TLS that asks for ours."""
    return {
        "bootstrap_servers": f"localhost:{broker.certificate}",
        "security_protocol": "SSL",
        "ssl_ca_file": broker.ca_file,
        **changes,
    }


def bearer(broker: SecuredBroker, **changes: object) -> dict[str, object]:
    given = login(broker, sasl_mechanism="OAUTHBEARER", **changes)
    del given["sasl_username"], given["sasl_password"]
    return given


async def topics_seen(given: dict[str, object]) -> Mapping[str, int]:
    settings = KafkaSettings.model_validate({"start_timeout_ms": 3_000, "request_timeout_ms": 3_000} | dict(given))
    async with Admin(settings) as admin:
        return await admin.partition_counts()


@pytest.mark.parametrize("way", ["scram", "plain", "bearer", "certificate", "encrypted key", "bundle"])
async def test_every_way_in(broker: SecuredBroker, way: str) -> None:
    folder = broker.folder
    given = {
        "scram": login(broker),
        "plain": login(broker, sasl_mechanism="PLAIN"),
        "bearer": bearer(broker, oauth_token_file=folder / "token"),
        "certificate": certificate(broker, ssl_certificate_file=folder / "client.pem"),
        "encrypted key": certificate(broker, ssl_certificate_file=folder / "encrypted.pem", ssl_key_password="hush"),
        "bundle": login(broker, ssl_ca_file=folder / "bundle.pem"),
    }[way]
    await topics_seen(given)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("password", "the login is refused (Authentication failed"),
        ("mechanism", "set kafka.sasl_mechanism to one that the broker has enabled"),
        ("token", "the login is refused ({"),
        ("no authority", "is of an authority that kafka.ssl_ca_file does not hold"),
        ("host", "the broker's certificate is for another name"),
        ("no certificate", "the broker wants a certificate of ours"),
        ("certificate of a stranger", "the broker wants a certificate of ours"),
        ("no login", "does it want a login? (kafka.security_protocol SASL_"),
        ("plain to TLS", "does it want TLS? (kafka.security_protocol SSL or SASL_SSL)"),
        ("TLS to plain", "does it speak TLS at this port? (kafka.security_protocol)"),
        ("login to plain", "it asks for no login at this port"),
    ],
)
async def test_every_mistake_is_one_line_that_says_what_to_do(broker: SecuredBroker, mistake: str, said: str) -> None:
    folder = broker.folder
    plain: dict[str, object] = {"bootstrap_servers": f"localhost:{broker.inside}"}
    mistakes: dict[str, dict[str, object]] = {
        "password": login(broker, sasl_password="wrong-password"),
        "mechanism": login(broker, sasl_mechanism="SCRAM-SHA-256"),
        "token": bearer(broker, oauth_token_file=folder / "no-token"),
        "no authority": login(broker, ssl_ca_file=folder / "other.pem"),
        "host": login(broker, bootstrap_servers=f"127.0.0.1:{broker.login}"),
        "no certificate": certificate(broker),
        "certificate of a stranger": certificate(broker, ssl_certificate_file=folder / "stranger.pem"),
        "no login": certificate(broker, bootstrap_servers=f"localhost:{broker.login}"),
        "plain to TLS": {"bootstrap_servers": f"localhost:{broker.login}"},
        "TLS to plain": certificate(broker, **plain),
        "login to plain": {**plain, "security_protocol": "SASL_PLAINTEXT", "sasl_username": "a", "sasl_password": "b"},
    }
    with pytest.raises(Unavailable) as told:
        await topics_seen({**mistakes[mistake], "start_timeout_ms": 400})
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert "wrong-password" not in str(told.value)
    assert isinstance(told.value, LoginRefused) != said.startswith("does it")


@pytest.mark.parametrize(("command", "code"), [("run", LoginRefused.exit_code), ("check", 1)])
async def test_a_command_that_is_not_let_in_says_so_in_a_line(
    embedded: Bench, broker: SecuredBroker, command: str, code: int
) -> None:
    environ = {**os.environ, **embedded.environ, **as_environ(login(broker, sasl_password="wrong-password"))}
    environ["INFERSTREAM__WEB__PORT"] = "0"
    ended, said = await commanded([command], environ)
    (line,) = [line for line in said.splitlines() if "no way in to Kafka" in line]
    assert "the login is refused" in line
    assert ended == code
    assert "Traceback" not in said
    assert "wrong-password" not in said


class Rights:
    """A pipeline on the broker that is allowed exactly what `inferstream acls` says."""

    def __init__(self, broker: SecuredBroker, settings: Settings) -> None:
        self.broker = broker
        self.settings = settings
        self.acls = of_service(settings)

    @asynccontextmanager
    async def without(self, acl: Acl) -> AsyncIterator[None]:
        await asyncio.to_thread(self.broker.revoke, acl)
        try:
            yield
        finally:
            await asyncio.to_thread(self.broker.grant, [acl])
            await self.until_lacking([])

    async def until_lacking(self, acls: list[Acl]) -> None:
        """A broker hears of a change a moment later."""
        deadline = time.monotonic() + ACL_SECONDS
        while True:
            async with Admin(self.settings.kafka) as admin:
                found = await admin.lacking(self.acls)
            if found == acls:
                return
            assert time.monotonic() < deadline, f"lacking {found}, not {acls}"
            await asyncio.sleep(0.1)


def secured(bench: Bench, broker: SecuredBroker, delivery: str, **changes: object) -> Settings:
    """The bench goes in by the back door, the service by the front."""
    bench.environ["INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS"] = f"localhost:{broker.inside}"
    bench.environ["INFERSTREAM__PIPELINES__FRAUD__DELIVERY"] = delivery
    quick = {"start_timeout_ms": 20_000, "session_timeout_ms": 6_000}
    return load(environ={**bench.environ, **as_environ({**login(broker), **quick, **changes})})


@pytest.fixture
def embedded(stacks: Any, tmp_path: Path) -> Bench:
    """Its Triton; the broker is ours."""
    stack: Stack = stacks("embedded")
    return Bench(stack, tmp_path)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_what_acls_prints_is_enough_and_each_one_that_is_lacking_is_named(
    embedded: Bench, broker: SecuredBroker, delivery: str
) -> None:
    settings = secured(embedded, broker, delivery)
    await embedded.create_topics()
    rights = Rights(broker, settings)
    await asyncio.to_thread(broker.grant, rights.acls)
    await rights.until_lacking([])
    assert [finding for finding in await find(settings, 10) if "rights" in finding.what] == []
    async with embedded.service(as_environ(login(broker))) as service:
        await embedded.send(200)
        report = await embedded.audit(200)
        assert not report.problems
        assert "refused" not in service.log
        assert await service.terminate() == 0
    for acl in rights.acls:
        async with rights.without(acl):
            await rights.until_lacking([acl])
            await assert_it_is_named(settings, acl)
            if acl.is_needed:
                await assert_the_broker_refuses(settings, acl)


async def assert_it_is_named(settings: Settings, acl: Acl) -> None:
    named = f"grant {acl.operation} on {acl.resource} '{acl.name}'"
    told = [finding for finding in await find(settings, 10) if named in finding.detail]
    assert told, f"`check` does not say: {named}"
    assert told[0].level == ("fail" if acl.is_needed else "warn")
    async with Admin(settings.kafka) as admin:
        if acl.is_needed:
            with pytest.raises(ContractMismatch, match=named):
                await check_rights(settings, admin)
        else:
            await check_rights(settings, admin)


async def assert_the_broker_refuses(settings: Settings, acl: Acl) -> None:
    """The list holds nothing that is not needed: without it the work itself is refused."""
    pipeline = settings.pipelines[acl.pipeline]
    if acl.resource == "transactional id":
        work = open_a_transaction(settings, pipeline.input_topic, acl.name)
    elif acl.operation == "WRITE":
        work = write(settings.kafka, acl.name)
    else:
        work = read(settings.kafka, pipeline.input_topic, str(pipeline.group))
    with pytest.raises(ContractMismatch, match="grant"):
        await asyncio.wait_for(work, 20)


async def open_a_transaction(settings: Settings, topic: str, prefix: str) -> None:
    transactions = KafkaTransactions(topic, prefix.removesuffix(f".{topic}."), settings.kafka, {})
    try:
        await transactions.open(0)
    finally:
        await transactions.stop()


async def write(kafka: KafkaSettings, topic: str) -> None:
    sink = KafkaSink(kafka)
    try:
        await sink.start()
        await sink.send(topic, 0, [record("x")])
    finally:
        await sink.stop()


async def read(kafka: KafkaSettings, topic: str, group: str) -> None:
    source = KafkaSource(topic, group, kafka)
    try:
        await source.start(Group())
        while True:
            await source.take(0.2)
    finally:
        await source.stop()


COMMANDS = {
    "topics": ("topics", "--partitions", str(PARTITIONS), "--replication", "1"),
    "produce": ("produce", "--count", "20", "--rate", "100", "--poison", "0.5"),
    "tail": ("tail", "--from-beginning", "--count", "1"),
    "dlq": ("dlq", "--count"),
    "resume": ("resume", "--list"),
    "replay": ("replay", "--yes"),
    "models switch": ("models", "switch", "1"),
    "audit": ("audit", "--wait", "10"),
}


async def test_each_command_works_with_the_rights_of_its_own(embedded: Bench, broker: SecuredBroker) -> None:
    """Each as a user of its own name, who may do nothing else."""
    settings = secured(embedded, broker, "at_least_once")
    acls = of_tools(settings)
    assert {acl.use for acl in acls} == set(COMMANDS) == set(TOOLS)
    async with AsyncExitStack() as stack:
        for use, command in COMMANDS.items():
            await as_user_of(embedded, broker, [acl for acl in acls if acl.use == use], use, command)
            if use == "topics":
                await asyncio.to_thread(broker.grant, of_service(settings))
                await Rights(broker, settings).until_lacking([])
                await stack.enter_async_context(embedded.service(as_environ(login(broker))))
            if use == "produce":
                assert (await embedded.audit(20)).inputs == 20
    without = [acl for acl in acls if acl.use == "replay" and acl.resource != "group"]
    with pytest.raises(AssertionError, match="inferstream acls"):
        await as_user_of(embedded, broker, without, "replay-less", COMMANDS["replay"])


async def as_user_of(bench: Bench, broker: SecuredBroker, acls: list[Acl], user: str, command: Sequence[str]) -> None:
    name = user.replace(" ", "-")
    file = broker.folder / f"{name}.pem"
    write_pem(file, broker.clients.issue_cert(name, common_name=name))
    await asyncio.to_thread(broker.grant, acls, f"User:{name}")
    environ = {**os.environ, **bench.environ, **as_environ(certificate(broker, ssl_certificate_file=file))}
    await asyncio.sleep(0.5)  # the broker hears of it
    code, said = await commanded(command, environ)
    assert code == 0, f"{command}: {said}"


async def commanded(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int | None, str]:
    """The exit code of a command, and what it said."""
    arguments = [sys.executable, "-m", "inferstream", *command]
    process = await asyncio.create_subprocess_exec(*arguments, env=environ, stdout=PIPE, stderr=STDOUT, stdin=DEVNULL)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


RATE = 200
"""Events a second while something changes."""
STALE = 'inferstream_stale_credentials{{server="kafka"}} {}'


async def test_certificate_user_and_password_change_under_load(embedded: Bench, broker: SecuredBroker) -> None:
    """The first certificate ends within the test, the first user is no more, each login holds for seconds."""
    folder, seconds = broker.folder, 24
    user, password, ours = folder / "username", folder / "password", folder / "ours.pem"
    user.write_text(USER)
    password.write_text(f"{PASSWORD}\n")
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=18)
    write_pem(ours, broker.clients.issue_cert("client", common_name=USER, not_after=ends))
    given = login(broker, sasl_username_file=user, sasl_password_file=password, ssl_certificate_file=ours)
    del given["sasl_username"], given["sasl_password"]
    await prepared(embedded, broker)
    await asyncio.to_thread(broker.grant, of_service(secured(embedded, broker, "at_least_once")), f"User:{OTHER_USER}")
    async with embedded.service(as_environ(given)) as service:
        sending = asyncio.create_task(embedded.send(RATE * seconds, RATE))
        await asyncio.sleep(4)
        write_pem(ours, broker.clients.issue_cert("client", common_name=USER))
        await asyncio.sleep(2 * REAUTH_MS / 1000)
        await asyncio.to_thread(broker.set_password, OTHER_USER, "second-password")
        await asyncio.sleep(0.5)
        put(user, OTHER_USER.encode())
        put(password, b"second-password\n")
        await asyncio.to_thread(broker.forget_user, USER)
        try:
            await sending
            assert datetime.datetime.now(datetime.UTC) > ends
            report = await embedded.audit(RATE * seconds)
            assert not report.problems
            assert report.inputs == RATE * seconds
            assert "certificate files have changed" in service.log
            assert "Traceback" not in service.log
            assert "-password" not in service.log
            assert STALE.format(0) in await service.metrics()
            put(password, b"\n")
            async with asyncio.timeout(15):
                while STALE.format(1) not in await service.metrics():  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.5)
            assert await service.terminate() == 0
        finally:
            await asyncio.to_thread(broker.set_password, USER, PASSWORD)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_logins_that_end_are_renewed_unnoticed(embedded: Bench, broker: SecuredBroker, delivery: str) -> None:
    seconds = 12
    await prepared(embedded, broker, delivery)
    token = broker.folder / "short-token"
    put(token, broker.signer.token(USER, 3_600).encode())
    async with embedded.service(as_environ(bearer(broker, oauth_token_file=token))) as service:
        await embedded.send(RATE * seconds, RATE)
        report = await embedded.audit(RATE * seconds)
        assert not report.problems
        assert report.inputs == RATE * seconds
        assert "no way in" not in service.log
        assert await service.terminate() == 0
    assert await longest_wait_ms(embedded) < 20_000, "somebody waited for an answer that never came"


async def test_a_login_that_is_revoked_is_an_outage_that_heals(embedded: Bench, broker: SecuredBroker) -> None:
    seconds = 16
    await prepared(embedded, broker)
    async with embedded.service(as_environ(login(broker))) as service:
        sending = asyncio.create_task(embedded.send(RATE * seconds, RATE))
        await asyncio.sleep(2)
        await asyncio.to_thread(broker.forget_user, USER)
        try:
            await asyncio.sleep(2 * REAUTH_MS / 1000 + 2)
            assert "the login is refused" in service.log
            assert service.log.count("the login is refused") <= 3  # not with every attempt
            assert await service.status("livez") == 200
        finally:
            await asyncio.to_thread(broker.set_password, USER, PASSWORD)
        await sending
        report = await embedded.audit(RATE * seconds)
        assert not report.problems
        assert await service.terminate() == 0


async def prepared(bench: Bench, broker: SecuredBroker, delivery: str = "at_least_once") -> None:
    settings = secured(bench, broker, delivery)
    await bench.create_topics()
    rights = Rights(broker, settings)
    await asyncio.to_thread(broker.grant, rights.acls)
    await rights.until_lacking([])


async def longest_wait_ms(bench: Bench) -> float:
    """From an event's timestamp to its outcome's, the longest."""
    sent = {(r.partition, r.offset): r.timestamp for r in await bench.records(bench.pipeline.input_topic)}
    answered: dict[tuple[int, int], int] = {}
    for outcome in await bench.records(bench.pipeline.output_topic):
        given = msgspec.msgpack.decode(outcome.value or b"")
        _, _, partition, offset = str(given["id"]).rsplit("/", 3)
        answered.setdefault((int(partition), int(offset)), outcome.timestamp)
    return max(answered[place] - sent[place] for place in sent)
