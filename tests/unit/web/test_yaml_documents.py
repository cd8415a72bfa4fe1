"""The traps of YAML."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import FedbusError, InvalidInput, TooLarge
from fedbus.web import yaml_documents
from fedbus.web.yaml_documents import parse


def faults(text: str) -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(InvalidInput) as caught:
        parse(text.encode())
    return [(fault.document, fault.line, fault.message) for fault in caught.value.faults]


def test_scalars_follow_the_core_schema_and_not_yaml_1_1() -> None:
    (document,) = parse(
        b"op: =\nswitch: on\nanswer: no\nports: 22:22\nmode: 0644\nday: 2024-01-01\nempty:\n"
        b"quoted: '5'\nint: -5\nhex: 0x1F\nreal: 1.5\nyes_really: true\nunder: 1_000\nmerge: {<<: x}\n"
    )

    assert document.value == {
        "op": "=",
        "switch": "on",
        "answer": "no",
        "ports": "22:22",
        "mode": 644,
        "day": "2024-01-01",
        "empty": None,
        "quoted": "5",
        "int": -5,
        "hex": 31,
        "real": 1.5,
        "yes_really": True,
        "under": "1_000",
        "merge": {"<<": "x"},
    }


def test_documents_are_counted_without_the_empty_ones() -> None:
    found = parse(b"\xef\xbb\xbf# hello\n---\n---\na: 1\n...\n---\n# nothing\n--- {b: 2}\n")

    assert [(d.index, d.line, d.value) for d in found] == [(0, 3, {"a": 1}), (1, 8, {"b": 2})]


def test_a_marker_inside_an_indented_block_is_text() -> None:
    (document,) = parse(b"text: |\n  one\n  --- two\n")

    assert document.value == {"text": "one\n--- two\n"}


def test_bad_documents_among_good_ones_are_all_named_with_their_lines() -> None:
    found = faults("a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n---\n- list\n---\nd: [1\n---\ne: 5\n")

    assert [(document, line) for document, line, _ in found] == [(1, 4), (3, 7), (4, 11)]
    assert found[0][2] == "The key 'b' appears twice"
    assert found[1][2] == "A document must be a mapping"
    assert found[2][2].startswith("This is no valid YAML")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\nb: *x\n", "Anchors"),
        ("a: *x\n", "Anchors"),
        ("&k a: 1\n", "plain text"),
        ("a: !!python/object/apply:os.system [id]\n", "Tags"),
        ("a: !!binary aGk=\n", "Tags"),
        ("? [a, b]\n: 1\n", "plain text"),
        ("a: 9223372036854775808\n", "out of range"),
        ("a: 1e999\n", "out of range"),
        ("%YAML 1.1\n", "no valid YAML"),
        ("a: 1\n b: 2\n", "no valid YAML"),
        ("a: \x07\n", "no valid YAML"),
        ("{a: {a: 1, a: 2}}\n", "twice"),
        ("a: " + "[" * 5000 + "]" * 5000, "Nested"),
    ],
)
def test_what_is_dangerous_or_ambiguous_is_refused(text: str, said: str) -> None:
    assert said in faults(text)[0][2]


def test_a_fault_names_the_path() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(b"spec:\n  rules:\n  - id: 1\n  - id: &x 2\n")

    assert caught.value.faults[0].field == "spec.rules[1].id"


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    levels = "".join(f"l{i}: &l{i} [{','.join(['*l' + str(i - 1)] * 9)}]\n" for i in range(1, 9))

    assert "Anchors" in faults("l0: &l0 [x]\n" + levels)[0][2]


def test_size_and_count_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge):
        parse(b"#" * (yaml_documents.MAX_BYTES + 1))
    monkeypatch.setattr(yaml_documents, "MAX_DOCUMENTS", 3)
    with pytest.raises(TooLarge):
        parse(b"a: 1\n---\n" * 5)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(b"a: \xff")

    assert caught.value.code == "BODY_MALFORMED"


@given(st.binary(max_size=200) | st.text(alphabet="ab:-{}[]&*!|>%.'\"\n #?,", max_size=80).map(str.encode))
def test_any_input_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(FedbusError):
        assert all(isinstance(document.value, dict) for document in parse(raw))
