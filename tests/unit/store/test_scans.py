"""Look-ups of scan results, against what was put in: the newest scan wins, nothing of what went remains."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.cluster.scans.local_results import LocalResults
from fedbus.core.image_reference import image_reference
from fedbus.errors import TooLarge
from fedbus.model.scan import CI_REGISTRY, Report, ScannedImage, Vulnerability
from fedbus.store import projection
from fedbus.store.database import Database
from fedbus.store.projection import number_of
from tests.support import scans


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "scans.db", "NORMAL", scans=True) as opened:
        yield opened


async def put(database: Database, *reports: Report) -> None:
    await LocalResults(database).put(reports, [scans.image(one) for one in reports])


async def test_of_a_digest_the_newest_scan_is_found_whatever_its_source(database: Database) -> None:
    old = scans.report(1, registry="hub", scanned_at=1000.0, vulnerabilities=1)
    new = msgspec.structs.replace(old, registry="_repo_scan", source="ci", scanned_at=2000.0)
    await put(database, new, old)

    found = await database.read(lambda tx: tx.scans.by_digest(old.digest))
    by_tag = await database.read(lambda tx: tx.scans.by_tag(old.repository, old.tag))

    assert found is not None
    assert (found.source, found.registry) == ("ci", "_repo_scan")
    assert by_tag == found


async def test_scans_at_the_same_moment_are_ordered_by_their_database(database: Database) -> None:
    one = scans.report(1, registry="hub", vulnerabilities=1, cvedb_create_time="2026-01-01T00:00:00Z")
    two = msgspec.structs.replace(one, registry="other", cvedb_create_time="2026-02-01T00:00:00Z")
    await put(database, two, one)

    found = await database.read(lambda tx: tx.scans.by_digest(one.digest))

    assert found is not None
    assert found.registry == "other"


async def test_a_name_is_looked_up_in_its_registry_and_in_what_says_no_registry(database: Database) -> None:
    here = scans.report(1, registry="a", vulnerabilities=1, repository="app", tag="1")
    anywhere = scans.report(2, registry="b", registry_url="", vulnerabilities=1, repository="tool", tag="1")
    await put(database, here, anywhere)

    async def found(repository: str, host: str = "") -> str:
        brief = await database.read(lambda tx: tx.scans.by_tag(repository, "1", host))
        return brief.registry if brief else ""

    assert await found("app", "registry.example.com") == "a"
    assert await found("app", "example.com") == ""  # part of a host is another host
    assert await found("app") == "a"
    assert await found("tool", "anything.example.com") == "b"


async def test_an_older_scan_of_a_digest_is_passed_over(database: Database) -> None:
    await put(database, scans.report(1, registry="hub", scanned_at=2000.0, vulnerabilities=2))
    await put(database, scans.report(1, registry="hub", scanned_at=1000.0, vulnerabilities=5))

    (held,) = await LocalResults(database).reports("hub")
    assert held.scanned_at == 2000.0
    brief = await database.read(lambda tx: tx.scans.by_digest(held.digest))
    assert brief is not None
    report = await database.read(lambda tx: tx.scans.report(brief))
    assert len(report.vulnerabilities) == 2


async def test_a_pipelines_older_scan_does_not_take_a_tag_back(database: Database) -> None:
    def made(number: int, scanned_at: float) -> Report:
        return scans.report(
            number, registry=CI_REGISTRY, repository="app", tag="1", scanned_at=scanned_at, vulnerabilities=1
        )

    async def named() -> str:
        (image,) = await LocalResults(database).images(CI_REGISTRY)
        return image.digest

    await put(database, made(1, 2000.0))
    await put(database, made(2, 1000.0))
    assert await named() == made(1, 0.0).digest
    assert len(await LocalResults(database).reports(CI_REGISTRY)) == 2  # it is a result all the same
    await put(database, made(2, 3000.0))
    assert await named() == made(2, 0.0).digest


async def test_a_registrys_scan_moves_a_tag_to_a_digest_that_was_scanned_before(database: Database) -> None:
    old = scans.report(1, registry="hub", repository="app", tag="1", scanned_at=1000.0, vulnerabilities=1)
    new = scans.report(2, registry="hub", repository="app", tag="1", scanned_at=2000.0, vulnerabilities=1)
    await put(database, old)
    await put(database, new)
    await put(database, old)  # somebody pushed the tag again

    (image,) = await LocalResults(database).images("hub")
    assert image.digest == old.digest


async def test_a_report_that_is_too_large_is_refused_and_nothing_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedbus.cluster.scans.local_results.MAX_REPORT", 1000)
    with pytest.raises(TooLarge):
        await put(
            database, scans.report(1, registry="hub", vulnerabilities=0), scans.report(2, registry="hub")
        )

    assert await LocalResults(database).reports("hub") == []


async def test_a_registry_that_is_forgotten_leaves_nothing_and_the_others_alone(database: Database) -> None:
    results = LocalResults(database)
    await put(database, *(scans.report(n, registry="hub", vulnerabilities=2) for n in range(5)))
    await put(database, *(scans.report(n, registry="other", vulnerabilities=2) for n in range(3)))

    await results.forget("hub")

    assert (await results.reports("hub"), await results.images("hub")) == ([], [])
    assert len(await results.reports("other")) == len(await results.images("other")) == 3
    assert await database.read(lambda tx: [c.registry for c in tx.scans.counts()]) == ["other"]


async def test_images_are_listed_page_by_page_and_searched(database: Database) -> None:
    reports = [scans.report(n, registry=f"r{n % 2}", vulnerabilities=1) for n in range(9)]
    await put(database, *reports)
    await LocalResults(database).put(
        [], [ScannedImage(registry="r0", repository="unscanned", tag="1", digest="sha256:none")]
    )

    async def pages(**about: str) -> list[str]:
        found: list[str] = []
        after: Sequence[str] = ()
        while page := await database.read(
            lambda tx, after=after: tx.scans.listed(after=after, limit=2, **about)  # type: ignore[misc]
        ):
            found += [f"{one.image.repository}:{one.image.tag}" for one in page]
            last = page[-1].image
            after = (last.registry, last.repository, last.tag)
        return found

    everything = await pages()
    assert len(everything) == len(set(everything)) == 10
    assert len(await pages(registry="r1")) == 4
    assert await pages(text=reports[3].digest[8:40].upper()) == [f"{reports[3].repository}:{reports[3].tag}"]
    assert await pages(text="nothing-has-this") == []


names = st.sampled_from(
    ["CVE-2024-0001", "cve-2024-0001", "CVE-2024-12345", "GHSA-aaaa", "ALAS-1", "CVE-1-1"]
)
steps = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.lists(names, max_size=5), st.booleans()), max_size=12
)


@settings(max_examples=30, deadline=None)
@given(steps)
async def test_a_vulnerability_is_found_in_just_the_reports_that_name_it(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, int, list[str], bool]]
) -> None:
    async with Database(tmp_path_factory.mktemp("s") / "scans.db", "NORMAL", scans=True) as database:
        results = LocalResults(database)
        model: dict[str, tuple[int, set[str]]] = {}
        for number, at, found, removed in script:
            report = scans.report(number, registry="hub", vulnerabilities=0, scanned_at=float(at))
            report = msgspec.structs.replace(
                report, vulnerabilities=tuple(Vulnerability(name=name) for name in found)
            )
            if removed:
                await results.remove("hub", [report.digest], [])
                model.pop(report.digest, None)
            else:
                await results.put([report], [])
                if report.digest not in model or model[report.digest][0] <= at:
                    model[report.digest] = at, {name.upper() for name in found}
        for name in ("CVE-2024-0001", "CVE-2024-12345", "GHSA-AAAA", "alas-1", "CVE-1-1"):
            briefs = await database.read(lambda tx, n=name: tx.scans.with_cve(n))  # type: ignore[misc]
            assert {b.digest for b in briefs} == {d for d, (_, all_) in model.items() if name.upper() in all_}
        totals = await database.read(lambda tx: tx.scans.total("local"))
        assert totals[0] == len(model)


def test_numbers_of_vulnerabilities_are_small_for_cves_and_never_the_same_for_two() -> None:
    several = [f"CVE-{y}-{n:04d}" for y in range(1999, 2030) for n in range(0, 30000, 997)]
    several += ["CVE-2024-00001", "CVE-2024-99999999", "CVE-1989-0001", "CVE-3000-0001", "GHSA-x", "ALAS-2"]

    numbers = {number_of(name) for name in several}

    assert len(numbers) == len(set(several))
    assert number_of("CVE-2024-12345") == number_of("cve-2024-12345") < 1 << 32
    assert all(n < 1 << 63 for n in numbers)


@given(st.lists(st.integers(0, (1 << 63) - 1), unique=True))
def test_numbers_are_unpacked_as_they_were_packed(numbers: list[int]) -> None:
    assert list(projection._unpacked(projection._packed(sorted(numbers)))) == sorted(numbers)


async def test_a_digest_means_a_pipelines_scan_anywhere_and_a_registrys_scan_in_that_registry(
    database: Database,
) -> None:
    """Vector 20 of the decision."""
    scanned = scans.report(7, registry="hub", vulnerabilities=1)
    here, elsewhere = (
        image_reference(f"{host}/any@{scanned.digest}")
        for host in ("registry.example.com", "mirror.example.com")
    )
    await put(database, scanned)
    assert [b.registry for b in await database.read(lambda tx: tx.scans.of_image(here))] == ["hub"]
    assert await database.read(lambda tx: tx.scans.of_image(elsewhere)) == []

    await put(database, msgspec.structs.replace(scanned, registry=CI_REGISTRY, source="ci", scanned_at=1.0))
    assert [b.registry for b in await database.read(lambda tx: tx.scans.of_image(elsewhere))] == [
        "_repo_scan"
    ]
