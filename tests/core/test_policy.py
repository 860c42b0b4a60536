"""The numbers of a type."""

from __future__ import annotations

import msgspec
import pytest

from pepperpy_resources.core.policy import Backoff, Policy


@pytest.mark.parametrize(
    ("failures", "expected"), [(2, 0.1), (3, 0.2), (4, 0.4), (8, 6.4), (9, 10.0), (100, 10.0)]
)
def test_the_delay_doubles_up_to_its_maximum(failures: int, expected: float) -> None:
    assert Backoff().delay(failures, 0.5) == pytest.approx(expected)


def test_the_first_failure_is_followed_by_no_pause() -> None:
    assert Backoff().delay(1, 0.9) == 0
    assert Backoff(attempts=2).delay(1, 0.9) == 0


def test_a_single_attempt_is_followed_by_the_first_pause() -> None:
    once = Backoff(min=1.0, attempts=1)
    assert [once.delay(n, 0.5) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 0.8), (0.25, 0.9), (0.5, 1.0), (1.0, 1.2)])
def test_jitter_is_symmetric(chance: float, expected: float) -> None:
    assert Backoff(min=1.0, jitter=0.2).delay(2, chance) == pytest.approx(expected)


def test_jitter_applies_to_the_maximum_too() -> None:
    backoff = Backoff(min=1.0, max=4.0, jitter=0.5)
    assert backoff.delay(50, 0.0) == 2.0
    assert backoff.delay(50, 1.0) == 6.0


def test_a_year_of_failures_does_not_overflow() -> None:
    assert Backoff(factor=10.0).delay(10_000_000, 0.5) == 10.0


def test_a_factor_of_one_is_a_constant_delay() -> None:
    assert [Backoff(min=2.0, factor=1.0).delay(n, 0.5) for n in (2, 3, 99)] == [2.0, 2.0, 2.0]


def test_the_defaults_are_those_of_the_design() -> None:
    policy = Policy(name="db")
    assert (policy.max_size, policy.min_idle, policy.max_opening) == (10, 0, 4)
    assert (policy.acquire_timeout, policy.create_timeout) == (30, 30)
    assert (policy.check_timeout, policy.reset_timeout, policy.close_timeout) == (5, 5, 5)
    assert (policy.idle_timeout, policy.max_lifetime, policy.lifetime_jitter) == (600, 1800, 0.25)
    assert (policy.order, policy.max_holders, policy.fresh_for) == ("lifo", 1, 0.5)
    assert policy.backoff == Backoff(min=0.1, factor=2.0, max=10.0, jitter=0.2, attempts=None)


def test_a_policy_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Policy(name="db").max_size = 11  # type: ignore[misc]


def test_a_backoff_with_a_misspelt_field_is_refused_when_decoded() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"attemps": 3}', type=Backoff)
