"""How long an address waits."""

from fedbus.web.throttle import FREE_ATTEMPTS, LONGEST_DELAY, MAX_ADDRESSES, Throttle


def test_after_the_free_attempts_the_delay_doubles_up_to_its_limit() -> None:
    throttle = Throttle()
    now = 0.0
    assert [throttle.attempt("a", now) for _ in range(FREE_ATTEMPTS)] == [0.0] * FREE_ATTEMPTS

    waits = []
    for _ in range(12):
        waits.append(throttle.attempt("a", now))
        now += waits[-1]
        assert throttle.attempt("a", now) == 0.0

    assert waits == [min(LONGEST_DELAY, 2.0**i) for i in range(12)]


def test_another_address_and_a_success_start_afresh() -> None:
    throttle = Throttle()
    for _ in range(FREE_ATTEMPTS):
        throttle.attempt("a", 0.0)

    assert throttle.attempt("a", 0.0) > 0
    assert throttle.attempt("b", 0.0) == 0.0
    throttle.succeeded("a")
    assert throttle.attempt("a", 0.0) == 0.0


def test_the_memory_of_addresses_is_bounded_and_the_oldest_go_first() -> None:
    throttle = Throttle()
    for _ in range(FREE_ATTEMPTS):
        throttle.attempt("old", 0.0)
    for i in range(MAX_ADDRESSES):
        throttle.attempt(str(i), 1.0)

    assert throttle.attempt("old", 1.0) == 0.0
