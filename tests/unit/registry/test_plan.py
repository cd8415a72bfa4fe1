"""What a run does: pure decisions over what was found and what is held."""

from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.registry.plan import Again, Found, Known, due, plan
from fedbus.model.scan import ScannedImage

NOW = Again(reason="periodical", database="2", since=100.0, rescan_after_update=False)
REPOSITORIES, TAGS, DIGESTS = st.sampled_from("abc"), st.sampled_from("123"), st.sampled_from("pqrs")


def image(repository: str, tag: str, digest: str) -> ScannedImage:
    return ScannedImage(registry="r", repository=repository, tag=tag, digest=digest)


IMAGES = st.dictionaries(st.tuples(REPOSITORIES, TAGS), DIGESTS).map(
    lambda named: [image(*key, digest) for key, digest in named.items()]
)


@given(IMAGES, IMAGES, st.sets(DIGESTS), st.sets(REPOSITORIES), st.sets(st.tuples(REPOSITORIES, TAGS)))
def test_after_a_plan_the_held_is_the_found_and_what_could_not_be_read(
    found: list[ScannedImage],
    held: list[ScannedImage],
    scanned: set[str],
    repositories: set[str],
    tags: set[tuple[str, str]],
) -> None:
    wanted = [one.digest for one in found]
    listing = Found(
        images=tuple(found), unread_repositories=frozenset(repositories), unread_tags=frozenset(tags)
    )
    made = plan(listing, held, {digest: Known(1.0, "2") for digest in scanned}, wanted, again=NOW)

    after = {(one.repository, one.tag): one for one in held}
    for key in made.gone_tags:
        del after[key]
    after |= {(one.repository, one.tag): one for one in made.tags}
    now = {(one.repository, one.tag): one for one in found}
    kept = {
        (one.repository, one.tag): one
        for one in held
        if one.repository in repositories or (one.repository, one.tag) in tags
    }
    assert after == kept | now
    assert set(made.scan) == set(wanted) - scanned
    reports = (scanned - made.gone_digests) | set(made.scan)
    assert reports >= {one.digest for one in found}
    assert reports - {one.digest for one in after.values()} == set()
    assert not made.gone_digests & {one.digest for one in after.values()}


def test_an_index_stays_with_the_tag_that_could_not_be_read() -> None:
    held = [image("a", "1", "p"), image("a", "sha256:index", "p"), image("a", "sha256:old", "q")]
    found = Found(images=(), unread_tags=frozenset({("a", "1")}))
    made = plan(found, held, {}, [], again=NOW)
    assert made.gone_tags == {("a", "sha256:old")}


def test_a_digest_is_scanned_again_when_that_is_wanted() -> None:
    old, new = Known(50.0, "1"), Known(150.0, "2")

    def needed(known: Known | None, **changes: object) -> bool:
        fields = {"reason": "periodical", "database": "2", "since": 100.0, "rescan_after_update": False}
        return Again(**{**fields, **changes}).needed(known)  # type: ignore[arg-type]

    assert needed(None)
    assert not needed(old)
    assert needed(old, rescan_after_update=True)
    assert needed(old, reason="manual")
    assert not needed(new, reason="manual", rescan_after_update=True)
    assert not needed(old, reason="manual", database="")
    assert needed(old, reason="forced", database="1")
    assert not needed(new, reason="forced")  # this very run did it, before a restart


def test_schedules() -> None:
    assert not due("manual", 300, 0.0, 1e9)
    assert due("periodical", 300, 0.0, 1e9)
    assert not due("periodical", 300, 1e9 - 299, 1e9)
    assert due("periodical", 300, 1e9 - 300, 1e9)
    assert due("auto", 0, 1e9 - 300, 1e9)
    assert not due("auto", 0, 1e9 - 299, 1e9)
