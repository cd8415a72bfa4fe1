"""The keyring: whole, private, and usable without its offline part."""

import random
import shutil
import stat
from pathlib import Path

import pytest

from fedbus.errors import ConfigError, Conflict, InvalidInput
from fedbus.model import subjects
from fedbus.pki import jwt
from fedbus.pki.ca import DAY, Randomness
from fedbus.pki.keyring import Keyring
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.pki.roles import ANSWERED, MEMBERS, SCOPES, SHARES, Role
from fedbus.pki.signing import Verifier

NOW = 1_700_000_000.0
HOSTS = ("bus.example", "127.0.0.1")


def seeded(seed: int = 1) -> Randomness:
    return random.Random(seed).randbytes


def create(directory: Path, seed: int = 1) -> Keyring:
    return Keyring.create(directory, federation_id="f1", hosts=HOSTS, now=NOW, randomness=seeded(seed))


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return create(tmp_path / "keyring")


def secrets(directory: Path) -> set[str]:
    """Every secret in the keyring's files, as text."""
    seeds = {path.read_text().strip() for path in directory.rglob("*.seed")}
    return seeds | {(directory / "signing.key").read_text(), (directory / "ca.key").read_text()}


def test_what_is_created_is_loaded(keyring: Keyring) -> None:
    again = Keyring.load(keyring.directory)

    assert again.federation_id == "f1"
    assert (again.account, again.system_account) == (keyring.account, keyring.system_account)
    assert again.signer.public_key == keyring.signer.public_key
    assert again.system == keyring.system
    assert again.ca_pem == keyring.ca_pem
    assert again.members_account == keyring.members_account
    assert again.account_jwts(now=NOW) == keyring.account_jwts(now=NOW)


def test_everything_is_its_owners_alone(keyring: Keyring) -> None:
    for path in (keyring.directory, *keyring.directory.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_keyring_is_never_overwritten(keyring: Keyring) -> None:
    with pytest.raises(Conflict):
        create(keyring.directory, seed=2)

    assert Keyring.load(keyring.directory).account == keyring.account


def test_a_creation_that_was_cut_short_leaves_no_keyring_and_can_be_done_again(tmp_path: Path) -> None:
    calls = 0

    def failing(size: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise OSError("power cut")
        return bytes([calls]) * size

    directory = tmp_path / "keyring"
    with pytest.raises(OSError, match="power cut"):
        Keyring.create(directory, federation_id="f1", hosts=HOSTS, now=NOW, randomness=failing)

    assert not directory.exists()
    assert create(directory).federation_id == "f1"
    assert [path.name for path in tmp_path.iterdir()] == ["keyring"]


def test_no_two_keys_are_the_same(keyring: Keyring) -> None:
    assert len(secrets(keyring.directory)) == 12


def test_other_randomness_gives_other_keys(keyring: Keyring, tmp_path: Path) -> None:
    other = create(tmp_path / "other", seed=2)

    assert not secrets(keyring.directory) & secrets(other.directory)


def test_it_works_without_its_offline_part(keyring: Keyring) -> None:
    shutil.rmtree(keyring.directory / "offline")

    assert len(Keyring.load(keyring.directory).account_jwts(now=NOW)) == 3


@pytest.mark.parametrize(
    "name",
    [
        "keyring.json",
        "operator.jwt",
        "system-account.jwt",
        "system.creds",
        "operator-signing.seed",
        "scope-worker.seed",
        "signing.key",
        "ca.pem",
        "ca.key",
        "server.pem",
    ],
)
def test_a_missing_or_damaged_part_is_named_or_at_least_told(keyring: Keyring, name: str) -> None:
    file = keyring.directory / name
    content = file.read_text()
    file.unlink()
    with pytest.raises(ConfigError, match=name):
        Keyring.load(keyring.directory)

    if not name.endswith(".jwt"):
        file.write_text(content[: len(content) // 2])
        with pytest.raises(ConfigError) as caught:
            Keyring.load(keyring.directory)
        assert content not in str(caught.value)


def test_the_chain_of_trust_leads_from_operator_to_user(keyring: Keyring) -> None:
    operator = jwt.decode_claims(keyring.operator_jwt)
    account = jwt.verify(keyring.account_jwt(now=NOW), operator["nats"]["signing_keys"])
    members = jwt.verify(keyring.members_jwt({}, now=NOW), operator["nats"]["signing_keys"])
    system = jwt.verify(keyring.system_account_jwt, operator["nats"]["signing_keys"])
    signers = [scope["key"] for scope in members["nats"]["signing_keys"]]
    user = jwt.verify(keyring.user_jwt("worker", "c1", new_user(), now=NOW, expires=None), signers)

    assert operator["nats"]["system_account"] == system["sub"] == keyring.system_account
    assert account["sub"] == keyring.account
    assert members["sub"] == user["nats"]["issuer_account"] == keyring.members_account
    assert jwt.verify(keyring.system.jwt, [keyring.system_account])["sub"] == keyring.system.public_key


def new_user(byte: bytes = b"u") -> str:
    return KeyPair.new(KeyType.USER, byte * 32).public_key


@pytest.mark.parametrize("role", SCOPES)
def test_each_role_has_its_own_signing_key(keyring: Keyring, role: Role) -> None:
    account = jwt.decode_claims(
        keyring.members_jwt({}, now=NOW) if role in MEMBERS else keyring.account_jwt(now=NOW)
    )
    token = keyring.user_jwt(role, "c1", new_user(), now=NOW, expires=NOW + 60)
    roles = {scope["key"]: scope["role"] for scope in account["nats"]["signing_keys"]}

    assert roles[jwt.decode_claims(token)["iss"]] == role
    assert jwt.decode_claims(token)["nats"]["issuer_account"] == account["sub"]


def test_the_masters_account_has_the_streams_and_the_members_account_only_what_it_shares(
    keyring: Keyring,
) -> None:
    account = jwt.decode_claims(keyring.account_jwt(now=NOW))["nats"]
    members = jwt.decode_claims(keyring.members_jwt({}, now=NOW))["nats"]

    assert [scope["role"] for scope in account["signing_keys"]] == ["master"]
    assert {scope["role"] for scope in members["signing_keys"]} == set(MEMBERS)
    assert "streams" in account["limits"]
    assert "streams" not in members["limits"]
    assert {one["subject"] for one in members["exports"]} == {one.subject for one in ANSWERED}
    assert {one["account"] for one in account["imports"]} == {keyring.members_account}
    assert {one["subject"] for one in account["imports"]} == {one.subject for one in ANSWERED}
    assert {i["subject"] for i in members["imports"]} == {e["subject"] for e in account["exports"]}
    assert {i["account"] for i in members["imports"]} == {keyring.account}


def test_nothing_shared_reaches_streams_or_the_masters_records() -> None:
    for share in SHARES:
        call = share.subject.removeprefix("$JS.API.")
        assert not call.startswith("DIRECT") or call == "DIRECT.GET.OBJ_scans"
        assert not call.startswith(("STREAM", "INFO", "CONSUMER.LIST", "CONSUMER.CREATE.*"))
        assert not subjects.matches(share.subject, "$JS.API.CONSUMER.CREATE.POLICY.c1-all.fed.v1.ev.m.>")
        assert not subjects.matches(share.subject, "$JS.API.CONSUMER.CREATE.POLICY.c1-all")


def test_a_keyring_of_an_earlier_format_is_refused_with_what_to_do(keyring: Keyring) -> None:
    index = keyring.directory / "keyring.json"
    index.write_text(index.read_text().replace('"format": 2', '"format": 1'))

    with pytest.raises(ConfigError, match="format 1") as caught:
        Keyring.load(keyring.directory)

    assert "promote" in caught.value.remedy


def test_a_bearer_has_no_seed_and_everybody_else_has(keyring: Keyring) -> None:
    for role, scope in SCOPES.items():
        credentials = keyring.credentials(role, "n1", now=NOW, randomness=seeded())
        assert bool(credentials.seed) != scope.bearer


def test_a_name_that_could_widen_a_subject_is_refused(keyring: Keyring) -> None:
    with pytest.raises(InvalidInput):
        keyring.user_jwt("worker", "*", new_user(), now=NOW, expires=None)


def test_revocations_are_in_the_members_jwt(keyring: Keyring) -> None:
    claims = jwt.decode_claims(keyring.members_jwt({new_user(): 7}, now=NOW))

    assert claims["nats"]["revocations"] == {new_user(): 7}


def test_what_it_signs_verifies_under_the_public_key_that_workers_pin(keyring: Keyring) -> None:
    assert Verifier(keyring.signer.public_key).verify(b"event", keyring.signer.sign(b"event"))


def test_the_server_certificate_is_kept_while_it_is_good(keyring: Keyring) -> None:
    before = keyring.server_file.read_bytes()

    assert not keyring.renew_server_certificate(reversed(HOSTS), now=NOW + 300 * DAY, randomness=seeded(9))
    assert keyring.server_file.read_bytes() == before


@pytest.mark.parametrize(("hosts", "days"), [(HOSTS, 340), (("new.example",), 1)])
def test_it_is_issued_anew_before_its_end_and_for_other_hosts(
    keyring: Keyring, hosts: tuple[str, ...], days: int
) -> None:
    now = NOW + days * DAY

    assert keyring.renew_server_certificate(hosts, now=now, randomness=seeded(9))

    again = Keyring.load(keyring.directory)
    assert again.server.covers(hosts)
    assert again.server.expires() == now + 365 * DAY
    again.server.certificate.verify_directly_issued_by(again.authority.certificate)
    assert not again.renew_server_certificate(hosts, now=now, randomness=seeded(9))


def test_no_secret_is_in_a_repr(keyring: Keyring) -> None:
    shown = " ".join(
        repr(part) for part in (keyring, keyring.system, keyring.signer, keyring.authority, keyring.server)
    )

    assert not any(secret in shown for secret in secrets(keyring.directory))
