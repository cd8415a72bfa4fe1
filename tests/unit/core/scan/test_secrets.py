"""Secrets in environments and commands, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.scan import secrets


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("DB_PASSWORD=hunter22", "DB_PASSWORD=****"),
        ("API_KEY=x", "API_KEY=****"),
        ("github_token=abc", "github_token=****"),
        ("PASSWORD=", "PASSWORD="),
        ("PASSWORD=$OTHER", "PASSWORD=$OTHER"),
        ("DB_PASSWORD_FILE=/run/secrets/db", "DB_PASSWORD_FILE=/run/secrets/db"),
        ("GPG_KEY=0D96DF4D4110E5C43FBF", "GPG_KEY=0D96DF4D4110E5C43FBF"),
        ("PWD=/app", "PWD=/app"),
        ("PATH=/usr/bin", "PATH=/usr/bin"),
        ("DSN=postgres://app:hunter22@db/app", "DSN=postgres://****@db/app"),
        ("X=AKIA" + "A" * 16, "X=****"),
        ("X=ghp_" + "a" * 36, "X=****"),
        ("X=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sflKxwRJSMeKKF2QT4", "X=****"),
        ("PASSWORD", "PASSWORD"),
    ],
)  # fmt: skip
def test_environment_variables(given: str, wanted: str) -> None:
    assert secrets.env(given) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("RUN curl -H 'X-Token: abc' https://x", "RUN curl -H 'X-Token: ****' https://x"),
        ("ENV DB_PASSWORD=hunter22 PORT=1", "ENV DB_PASSWORD=**** PORT=1"),
        ("RUN git clone https://me:pw1@git.example.com/x", "RUN git clone https://****@git.example.com/x"),
        ("RUN echo -----BEGIN RSA PRIVATE KEY-----abc", "RUN echo ****"),
        ("RUN curl -H 'Authorization: Bearer abcdefghij'", "RUN curl -H 'Authorization: Bearer ****'"),
        ("ENV PASSWORD= NAME=x", "ENV PASSWORD= NAME=x"),
        ("password = 'x'", "password = ****"),
        ("COPY . /app", "COPY . /app"),
    ],
)
def test_commands(given: str, wanted: str) -> None:
    assert secrets.redacted(given) == wanted


@given(st.text(max_size=300))
def test_evidence_shows_nothing_behind_the_name_it_is_assigned_to(text: str) -> None:
    found = secrets.evidence(text)
    assert found == "" if not text else found.endswith(secrets.MASK)
    assert text.startswith(found.removesuffix(secrets.MASK))
    assert len(found) < 100


@given(st.text(max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(secrets.redacted(text) + secrets.env(text), str)
