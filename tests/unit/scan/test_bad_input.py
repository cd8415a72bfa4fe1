"""Whatever a file holds, importing it ends with reports that are whole, or with an error that says where."""

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.errors import FedbusError, TooLarge
from fedbus.model.scan import Report
from fedbus.scan import importers
from fedbus.scan.importers import Format, Imported, openvex, read
from tests.support.scan_files import IMAGE, RECEIVED, REPORTS, ci_body, content, many_matches

VEX = "sbom-vex/openvex-multiple.json"
SMALL = [name for name in REPORTS if name != "grype/many_vulns3.json"]
SOURCES = {name: content(name) for name in SMALL} | {"ci": ci_body(), VEX: content(VEX)}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**64, 1.5, 1e308, "", "x", "\x00", "é" * 9000, [], [None], [[]], {}, {"": 0}, [{}]]
).map(copy.deepcopy)  # fmt: skip


def whole(found: Imported) -> None:
    """Check that reports are complete: what is kept can be read again and says what it is about."""
    for report in found.reports:
        assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
        assert report.repository
        assert report.digest
        assert 0 < report.scanned_at <= RECEIVED
        assert all(one.published_timestamp >= 0 for one in report.vulnerabilities)
    for one in found.rejected:
        assert one.path.startswith(("$", "digest", "repository"))
        assert one.message


def attempt(raw: bytes, form: Format | None = None) -> Imported | None:
    """Import a file; None where it was refused with an error of ours."""
    try:
        found = read(raw, received=RECEIVED, given=IMAGE, form=form)
        openvex.read([raw]).annotate(found.reports[0]) if found.reports else None
    except FedbusError:
        return None
    whole(found)
    return found


@pytest.mark.parametrize("name", SOURCES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_truncated_file_is_never_read_in_part(name: str, data: st.DataObject) -> None:
    raw = SOURCES[name].rstrip()
    length = data.draw(st.integers(0, len(raw) - 1))
    found = attempt(raw[:length], data.draw(st.sampled_from([None, *Format])))
    assert found is None or found.reports == ()


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in _places(one, (*path, key)))]


def _put(document: Any, place: tuple[Any, ...], value: object) -> object:
    if not place:
        return value
    at = document
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return document


@pytest.mark.parametrize("name", SOURCES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_value_of_a_wrong_type_is_rejected_or_read(name: str, data: st.DataObject) -> None:
    document = json.loads(SOURCES[name])
    for _ in range(data.draw(st.integers(1, 3))):
        document = _put(document, data.draw(st.sampled_from(_places(document))), data.draw(JUNK))
    attempt(json.dumps(document).encode())


@pytest.mark.parametrize("form", Format)
@given(raw=st.one_of(st.binary(max_size=200), JUNK.map(lambda one: json.dumps(one).encode())))
@settings(max_examples=60, deadline=None)
def test_any_bytes_in_any_format(form: Format, raw: bytes) -> None:
    attempt(raw, form)


@pytest.mark.parametrize("name", SOURCES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_bytes_that_are_no_utf_8(name: str, data: st.DataObject) -> None:
    raw = bytearray(SOURCES[name])
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from([0x80, 0xC0, 0xFF, 0xED]))
    attempt(bytes(raw))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("nest", ["[", '{"a":', '{"components":[', '[{"Results":['])
def test_deep_nesting_is_refused_without_a_crash(name: str, nest: str) -> None:
    document = json.loads(SOURCES[name])
    for place in _places(document)[:40]:
        key, made = "@@deep@@", json.loads(SOURCES[name])
        raw = json.dumps(_put(made, place, key)).replace(f'"{key}"', nest * 100_000)
        found = attempt(raw.encode())
        assert found is None or found.reports == ()


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("raw", [b"", b" \n", b"{}", b"[]", b"null", b"0", b'""', b"\x00", b"<html>"])
def test_nothing_at_all_in_any_format(form: Format, raw: bytes) -> None:
    attempt(raw, form)
    attempt(raw)


def _text(size: int) -> bytes:
    return ci_body(Vuls=[{"Name": "CVE-2024-1001", "Description": "x" * size}], Envs=["TOKEN=" + "a-" * size])


def _envs(size: int) -> bytes:
    return ci_body(Cmds=["tokentoken:" * 700] * (size // 8000))


def _affects(size: int) -> bytes:
    affects = [{"ref": f"pkg:npm/p{number}@1"} for number in range(size // 40)]
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "vulnerabilities": [{"id": "CVE-1", "affects": affects}],
        }
    ).encode()


def _results(size: int) -> bytes:
    text = "A low vulnerability in apk package: " + "a" * 900
    results = [{"ruleId": "CVE-2024-1001", "message": {"text": text}}] * (size // 1000)
    return json.dumps({"version": "2.1.0", "runs": [{"results": results}]}).encode()


def _wrong_at_the_bottom(size: int) -> bytes:
    name = ["x" * 100] * (size // 100)
    nested = '{"components":[' * 200 + json.dumps({"name": name}) + "]}" * 200
    return f'{{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{nested}]}}'.encode()


@pytest.mark.parametrize("make", [many_matches, _text, _envs, _affects, _results, _wrong_at_the_bottom])
def test_ten_megabytes_take_a_time_that_grows_with_them_only(make: Callable[[int], bytes]) -> None:
    def seconds(size: int) -> float:
        raw = make(size)
        started = time.perf_counter()
        read(raw, received=RECEIVED, given=IMAGE)
        return time.perf_counter() - started

    small = max(min(seconds(1_000_000) for _ in range(2)), 0.02)
    assert seconds(10_000_000) < small * 40  # a hundred times as much would be quadratic


def test_more_than_64_megabytes_are_refused() -> None:
    with pytest.raises(TooLarge):
        read(b" " * (importers.MAX_BYTES + 1), received=RECEIVED)


def test_lists_have_limits_that_are_named() -> None:
    (rejected,) = read(ci_body(Envs=["A=b"] * 5000), received=RECEIVED).rejected
    assert rejected.message == "the report has 5000 envs, more than 4096"


def test_a_file_has_a_bounded_number_of_reports() -> None:
    run = {"properties": {"imageName": "a:1"}}
    raw = json.dumps({"version": "2.1.0", "runs": [run] * 2001}).encode()
    found = read(raw, received=RECEIVED)
    assert found.rejected[-1].path == "$.runs[2000]"


def test_a_wrong_value_is_named_by_its_exact_place() -> None:
    document = json.loads(content("trivy/alpine-310.json"))
    document["Results"][0]["Vulnerabilities"][2]["CVSS"]["nvd"]["V3Score"] = "high"
    (rejected,) = read(json.dumps(document).encode(), received=RECEIVED).rejected
    assert rejected.path == "$.Results[0].Vulnerabilities[2].CVSS[...].V3Score"
    assert rejected.message == "Expected `float | null`, got `str`"
