"""Fractional ranks: the order of a list, kept in its members, so that a move changes one object.

A rank is a text over 0-9 A-Z a-z, read as the digits after a point, so that text order is list
order. It never ends in `0`: between any two ranks there is another. Appending and prepending count
in the first three digits (more than 100,000 times from the middle without growing), inserting halves.
"""

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE = len(ALPHABET)
_DIGIT = {character: value for value, character in enumerate(ALPHABET)}
_STEP_DIGITS = 3
_STEPS = _BASE**_STEP_DIGITS


def is_rank(text: str) -> bool:
    """Tell whether `text` is a rank."""
    return bool(text) and text[-1] != ALPHABET[0] and all(character in _DIGIT for character in text)


def between(lower: str | None, upper: str | None) -> str:
    """Return a rank strictly between two; None stands for the end of the list on that side.

    Raises ValueError when a bound is not a rank or when they are out of order.
    """
    for bound in (lower, upper):
        if bound is not None and not is_rank(bound):
            raise ValueError(f"not a rank: {bound!r}")
    if lower is not None and upper is not None:
        if lower >= upper:
            raise ValueError(f"no rank lies between {lower!r} and {upper!r}")
        return _midpoint(lower, upper)
    if lower is not None:
        return _step(lower, 1) or _midpoint(lower, None)
    if upper is not None:
        return _step(upper, -1) or _midpoint("", upper)
    return _at(_STEPS // 2)


def spread(lower: str | None, upper: str | None, count: int) -> list[str]:
    """Return `count` ranks in order, all strictly between two, as short as stepping and halving make them."""
    if lower is not None and upper is not None:
        return _halved(lower, upper, count)
    ranks: list[str] = []
    for _ in range(count):
        lower, upper = (between(lower, None), None) if upper is None else (None, between(None, upper))
        ranks.append(lower or upper or "")
    return sorted(ranks)


def _halved(lower: str, upper: str, count: int) -> list[str]:
    if count == 0:
        return []
    middle, left = between(lower, upper), (count - 1) // 2
    return [*_halved(lower, middle, left), middle, *_halved(middle, upper, count - 1 - left)]


def _at(step: int) -> str:
    digits = [step // _BASE**place % _BASE for place in reversed(range(_STEP_DIGITS))]
    return "".join(ALPHABET[digit] for digit in digits) + ALPHABET[_BASE // 2]


def _step(rank: str, by: int) -> str | None:
    """Return a short rank a whole step further, None at the end of the steps."""
    position = 0
    for character in rank[:_STEP_DIGITS].ljust(_STEP_DIGITS, ALPHABET[0]):
        position = position * _BASE + _DIGIT[character]
    return _at(position + by) if 0 <= position + by < _STEPS else None


def _midpoint(lower: str, upper: str | None) -> str:
    """Return the shortest text halfway between two fractions; no upper one means 1."""
    result = ""
    place = 0
    while True:
        low = _DIGIT[lower[place]] if place < len(lower) else 0
        high = _DIGIT[upper[place]] if upper is not None and place < len(upper) else _BASE
        if high - low > 1:
            return result + ALPHABET[(low + high) // 2]
        result += ALPHABET[low]
        if high != low:
            upper = None  # below the upper one from here on: only the lower one binds
        place += 1
