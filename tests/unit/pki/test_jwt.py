"""NATS JWTs: what is minted can be verified, and only what is minted."""

import pytest

from fedbus.errors import InvalidInput
from fedbus.pki import jwt
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.pki.roles import JOIN, SCOPES, WORKER, Share

NOW = 1_700_000_000.9
OPERATOR = KeyPair.new(KeyType.OPERATOR, b"o" * 32)
ACCOUNT = KeyPair.new(KeyType.ACCOUNT, b"a" * 32)
SCOPED = KeyPair.new(KeyType.ACCOUNT, b"s" * 32)
USER = KeyPair.new(KeyType.USER, b"u" * 32)


def user(name: str = "c1", public_key: str = USER.public_key, expires: float | None = None) -> str:
    return jwt.user(
        name=name,
        public_key=public_key,
        account_key=ACCOUNT.public_key,
        signer=SCOPED,
        now=NOW,
        expires=expires,
    )


def account(**extra: object) -> dict[str, object]:
    token = jwt.account(
        name="f1",
        public_key=ACCOUNT.public_key,
        signer=OPERATOR,
        now=NOW,
        **extra,  # type: ignore[arg-type]
    )
    nats = jwt.verify(token, [OPERATOR.public_key])["nats"]
    assert isinstance(nats, dict)
    return nats


def test_a_user_jwt_holds_a_name_and_no_rights_of_its_own() -> None:
    claims = jwt.verify(user(expires=NOW + 60), [SCOPED.public_key])

    assert claims["name"] == "c1"
    assert claims["sub"] == USER.public_key
    assert claims["iss"] == SCOPED.public_key
    assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_060)
    assert claims["nats"] == {"type": "user", "version": 2, "issuer_account": ACCOUNT.public_key}


def test_a_user_jwt_fits_the_connect_line_with_room_to_spare() -> None:
    assert len(user(name="x" * 64, expires=NOW)) < 1024


def test_a_jwt_without_expiry_has_none() -> None:
    assert "exp" not in jwt.decode_claims(user())


def test_the_same_claims_give_the_same_jwt_and_others_another_id() -> None:
    assert user() == user()
    assert jwt.decode_claims(user())["jti"] != jwt.decode_claims(user(name="c2"))["jti"]


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "{{name()}}", "ü", "x" * 65, "a\n"])
def test_a_name_that_could_widen_a_subject_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be part of a subject"):
        user(name=name)


@pytest.mark.parametrize("key", ["", ACCOUNT.public_key, USER.seed, "UNOTAKEY"])
def test_only_a_user_key_gets_a_user_jwt(key: str) -> None:
    with pytest.raises(InvalidInput, match="not a NATS user key"):
        user(public_key=key)


def test_two_jwts_say_the_same_whatever_their_dates_and_what_is_none_says_nothing() -> None:
    def at(now: float, key: str) -> str:
        return jwt.account(
            name="f1", public_key=ACCOUNT.public_key, signer=OPERATOR, now=now, revocations={key: 1}
        )

    assert jwt.same_claims(at(1, "UA"), at(2, "UA"))
    assert not jwt.same_claims(at(1, "UA"), at(1, "UB"))
    assert not jwt.same_claims("", at(1, "UA"))


def test_a_jwt_of_another_signer_is_not_trusted() -> None:
    with pytest.raises(InvalidInput) as caught:
        jwt.verify(user(), [ACCOUNT.public_key])

    assert caught.value.code == "JWT_UNTRUSTED"


def test_an_altered_jwt_is_not_trusted() -> None:
    header, _, signature = user().split(".")
    _, claims, _ = user(name="c2").split(".")

    with pytest.raises(InvalidInput) as caught:
        jwt.verify(f"{header}.{claims}.{signature}", [SCOPED.public_key])

    assert caught.value.code == "JWT_UNTRUSTED"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "e30.e30.e30",
        "eyJhbGciOiJub25lIn0.e30.",  # alg none
        "eyJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.",  # no subject
        "eyJhbGciOiJlZDI1NTE5LW5rZXkifQ.W10.",  # a list
        "é.é.é",
    ],
)
def test_what_is_no_nats_jwt_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        jwt.verify(token, [SCOPED.public_key])

    assert caught.value.code == "JWT_MALFORMED"


def test_the_operator_names_its_signing_keys_and_signs_itself() -> None:
    token = jwt.operator(
        name="f1", keys=OPERATOR, signing_keys=["OB", "OA"], system_account=ACCOUNT.public_key, now=NOW
    )

    claims = jwt.verify(token, [OPERATOR.public_key])

    assert claims["sub"] == OPERATOR.public_key
    assert claims["nats"]["signing_keys"] == ["OA", "OB"]
    assert claims["nats"]["system_account"] == ACCOUNT.public_key


def test_an_account_with_scopes_carries_them_as_templates_and_grants_nothing_else() -> None:
    nats = account(scopes={"AB": WORKER, "AA": JOIN})

    assert nats["default_permissions"] == {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}
    keys = nats["signing_keys"]
    assert isinstance(keys, list)
    assert [(scope["key"], scope["role"]) for scope in keys] == [("AA", "join"), ("AB", "worker")]
    assert keys[0]["template"]["bearer_token"] is True
    assert keys[1]["template"]["bearer_token"] is False


def test_jetstream_is_unlimited_where_it_is_on_and_absent_where_it_is_not() -> None:
    on, off = account(jetstream=True)["limits"], account()["limits"]
    assert isinstance(on, dict)
    assert isinstance(off, dict)

    for limit in ("mem_storage", "disk_storage", "streams", "consumer", "max_ack_pending"):
        assert on[limit] == -1
        assert limit not in off
    assert (on["imports"], on["exports"], on["leaf"]) == (0, 0, 0)


def test_what_is_shared_is_exported_by_one_account_and_imported_by_the_other_under_its_local_name() -> None:
    shares = (
        Share(subject="a.b.*", local="l.b.*", many_answers=True),
        Share(subject="c", local="c"),
        Share(subject="d", local="d", stream=True),
    )
    exporting = account(exports=shares)
    signer = KeyPair.new(KeyType.ACCOUNT, bytes([7]) * 32)
    importing = account(imports=shares, imports_from=jwt.Exporter(ACCOUNT.public_key, signer))

    private = {"token_req": True}
    assert exporting["exports"] == [
        {"name": "a.b.*", "subject": "a.b.*", "type": "service", "response_type": "Stream"} | private,
        {"name": "c", "subject": "c", "type": "service", "response_type": "Singleton"} | private,
        {"name": "d", "subject": "d", "type": "stream"} | private,
    ]
    where = {"account": ACCOUNT.public_key}
    imports_ = importing["imports"]
    assert isinstance(imports_, list)
    for claims, share in zip(imports_, shares, strict=True):
        activation = jwt.verify(claims.pop("token"), [signer.public_key])
        assert activation["sub"] == ACCOUNT.public_key  # of the importer, which is the same key here
        assert activation["nats"]["subject"] == share.subject
        assert activation["nats"]["issuer_account"] == ACCOUNT.public_key
    assert imports_ == [
        {"name": "a.b.*", "subject": "a.b.*", "local_subject": "l.b.*", "type": "service"} | where,
        {"name": "c", "subject": "c", "local_subject": "c", "type": "service"} | where,
        {"name": "d", "subject": "d", "local_subject": "d", "type": "stream"} | where,
    ]
    for nats, exports, imports in ((exporting, 3, 0), (importing, 0, 3)):
        limits = nats["limits"]
        assert isinstance(limits, dict)
        assert (limits["exports"], limits["imports"]) == (exports, imports)


def test_revocations_are_carried_as_given() -> None:
    assert account(revocations={"UB": 2, "UA": 1})["revocations"] == {"UA": 1, "UB": 2}
    assert "revocations" not in account()


SHARED = ("fed.v1.live.checkpoint", "fed.v1.js.DIRECT.GET.OBJ_scans")
"""What every worker gets just so: it is for all of them."""


def test_no_role_but_the_master_has_a_wildcard_where_a_name_belongs() -> None:
    for role, scope in SCOPES.items():
        if role != "master":
            for subject in (*scope.publish, *scope.subscribe):
                assert "{{name()}}" in subject or subject in SHARED, (role, subject)
