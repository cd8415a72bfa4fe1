"""The schemas on disk are the structs', and every example is one and stays one."""

import json
from pathlib import Path

import msgspec
import pytest

from fedbus.cli import schemas as files
from fedbus.core.policy_input import parse
from fedbus.core.policy_rules import faults
from fedbus.model.policy import KINDS
from fedbus.model.schemas import TYPES, schema_of, schemas

SCHEMAS = Path(__file__).parents[3] / "schemas"
EXAMPLES = sorted((SCHEMAS / "examples" / "v1").glob("*.json"))
jsonschema = pytest.importorskip("jsonschema")


def type_name(example: Path) -> str:
    """`group.addresses.json` is an example of `group`."""
    return example.name.split(".")[0]


def test_the_schemas_on_disk_are_in_step_with_the_structs() -> None:
    assert files.check(SCHEMAS) == []


def test_every_type_has_an_example() -> None:
    assert {type_name(example) for example in EXAMPLES} == set(TYPES)


@pytest.mark.parametrize("schema", schemas().values(), ids=schemas())
def test_every_schema_is_a_schema(schema: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_fulfils_its_schema_and_loses_no_field(example: Path) -> None:
    text = example.read_bytes()
    name = type_name(example)

    jsonschema.Draft202012Validator(schema_of(name)).validate(json.loads(text))
    again = msgspec.json.encode(msgspec.json.decode(text, type=TYPES[name]))

    assert json.loads(again) == json.loads(text)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if type_name(e) in KINDS], ids=lambda path: path.name
)
def test_an_example_of_policy_is_valid_and_normal(example: Path) -> None:
    spec = json.loads(example.read_bytes())

    obj = parse(type_name(example), spec)

    assert faults(obj) == []
    assert json.loads(msgspec.json.encode(obj)) == spec


def test_what_is_missing_changed_or_too_many_is_told(tmp_path: Path) -> None:
    written = files.write(tmp_path)
    (tmp_path / "v1" / "gone.json").write_text("{}")
    (tmp_path / "v1" / "group.json").write_text("{}")
    (tmp_path / "v1" / "webhook.json").unlink()

    assert len(written) == len(TYPES) + len(files.documents())
    assert files.check(tmp_path) == ["v1/gone.json", "v1/group.json", "v1/webhook.json"]
    files.write(tmp_path)
    assert files.check(tmp_path) == []
