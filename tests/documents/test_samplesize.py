"""Sample sizes: the published figures, and that the formulas are the smallest numbers that the judge accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.sample_size import (
    ceiling_requests,
    count_needed,
    count_surely,
    quantile_requests,
    share_requests,
)
from tierdrill.judge.statistics import quantile_ranks, wilson


@pytest.mark.parametrize(("share", "requests"), [(0.99, 381), (0.995, 765), (0.999, 3838), (0.9999, 38411)])
def test_shares_as_in_the_literature(share: float, requests: int) -> None:
    assert share_requests(share) == requests
    assert ceiling_requests(1.0 - share) == requests


@pytest.mark.parametrize(("quantile", "requests"), [(0.99, 368), (0.999, 3688), (0.5, 6)])
def test_quantiles_as_in_the_literature(quantile: float, requests: int) -> None:
    assert quantile_requests(quantile) == requests


def test_certainty_cannot_be_proven() -> None:
    assert share_requests(1.0) is None
    assert ceiling_requests(0.0) is None


@given(st.integers(min_value=1, max_value=99_999))
def test_a_share_takes_exactly_so_many_requests(hundred_thousandths: int) -> None:
    share = hundred_thousandths / 100_000
    needed = share_requests(share)
    assert needed is not None
    proven = wilson(needed, needed)
    assert proven is not None and proven.low >= share - 1e-9
    if needed > 1:
        short = wilson(needed - 1, needed - 1)
        assert short is not None and short.low < share + 1e-9


@given(st.integers(min_value=1, max_value=9_990))
def test_a_quantile_takes_exactly_so_many_requests(ten_thousandths: int) -> None:
    share = ten_thousandths / 10_000
    needed = quantile_requests(share)
    assert quantile_ranks(needed, share)[1] is not None
    if needed > 1:
        assert quantile_ranks(needed - 1, share)[1] is None


@given(st.integers(min_value=1, max_value=100_000))
def test_the_needed_count_is_surely_enough(requests: int) -> None:
    expected = count_needed(requests)
    assert count_surely(expected) >= requests
    assert expected < requests + 3.5 * requests**0.5 + 12


@given(st.floats(min_value=0, max_value=1e6))
def test_what_is_sure_is_never_more_than_expected(expected: float) -> None:
    assert 0 <= count_surely(expected) <= expected
