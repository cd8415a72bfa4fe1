import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.requests import MAX_REMEMBERED, VALID_SECONDS, Questions
from fedbus.errors import Refused
from fedbus.model.rpc import RpcRequest


def asked(id_: str = "1", at: float = 1000.0, **fields: str) -> RpcRequest:
    request = RpcRequest(
        federation_id="f", cluster_id="c", id=id_, at=at, method="assess", params=msgspec.Raw(b"{}")
    )
    return msgspec.structs.replace(request, **fields)


def refusal(questions: Questions, request: RpcRequest, now: float = 1000.0) -> str:
    with pytest.raises(Refused) as caught:
        questions.take(request, now)
    return caught.value.code


def test_a_question_is_taken_once() -> None:
    questions = Questions("f", "c")
    questions.take(asked(), 1000.0)

    assert refusal(questions, asked()) == "REQUEST_REPLAYED"


def test_a_question_for_somebody_else_is_not_taken() -> None:
    assert refusal(Questions("f", "c"), asked(cluster_id="d")) == "REQUEST_MISADDRESSED"
    assert refusal(Questions("f", "c"), asked(federation_id="g")) == "REQUEST_MISADDRESSED"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 300), st.floats(0, 300)), max_size=30))
def test_whenever_it_is_sent_again_it_is_never_taken_twice(sent: list[tuple[str, float, float]]) -> None:
    """A request's time is signed with its id: the same id has always the same time."""
    questions, times, taken = Questions("f", "c"), dict[str, float](), set[str]()
    for id_, said, now in sorted(sent, key=lambda one: one[2]):
        at = times.setdefault(id_, said)
        if abs(now - at) > VALID_SECONDS:
            assert refusal(questions, asked(id_, at), now) == "REQUEST_STALE"
        elif id_ in taken:
            assert refusal(questions, asked(id_, at), now) == "REQUEST_REPLAYED"
        else:
            questions.take(asked(id_, at), now)
            taken.add(id_)


def test_what_is_remembered_is_bounded_and_forgotten() -> None:
    questions = Questions("f", "c")
    for number in range(MAX_REMEMBERED):
        questions._taken[str(number)] = 1000.0

    assert refusal(questions, asked("more")) == "BUSY"
    questions.take(asked("later", 1100.0), 1100.0)
    assert list(questions._taken) == ["later"]


def test_a_time_that_is_no_number_is_refused() -> None:
    assert refusal(Questions("f", "c"), asked(at=float("nan"))) == "REQUEST_STALE"
