"""Times as text to microseconds, exactly."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.market.times import TimeError, rfc3339_us

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-09T21:05:48Z", 1786309548000000),
        ("2026-08-09T21:05:48.2Z", 1786309548200000),
        ("2026-08-09T21:05:48.229111Z", 1786309548229111),
        ("2026-08-09T21:05:48.229111828Z", 1786309548229111),
        ("2026-08-09T21:05:48.999999999Z", 1786309548999999),
        ("2026-08-09T23:05:48.5+02:00", 1786309548500000),
        ("2026-08-09T15:35:48.5-05:30", 1786309548500000),
        ("2026-08-09 21:05:48z", 1786309548000000),
        ("2016-12-31T23:59:60Z", 1483228800000000),
        ("2024-02-29T00:00:00Z", 1709164800000000),
    ],
)
def test_a_time_is_exact_and_cut_off_below_a_microsecond(text: str, us: int) -> None:
    assert rfc3339_us(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-08-09",
        "2026-08-09T21:05:48",
        "2026-08-09T21:05Z",
        "2026-08-09T21:05:48.Z",
        "2026-08-09T21:05:48.1234567890Z",
        "2026-08-09T24:00:00Z",
        "2026-08-09T21:60:00Z",
        "2026-08-09T21:05:61Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2026-08-09T21:05:48+24:00",
        "2026-08-09T21:05:48+0200",
        "2026-08-09T21:05:48Z\n",
        "٢٠٢٦-08-09T21:05:48Z",
        "2026-W32-7T21:05:48Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError):
        rfc3339_us(text)


@settings(deadline=None)
@given(
    st.datetimes(
        min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis wants it naive
        timezones=st.builds(
            timezone, st.integers(-1_439, 1_439).map(lambda minutes: timedelta(minutes=minutes))
        ),
    )
)
def test_every_time_agrees_with_the_standard_library(moment: datetime) -> None:
    assert rfc3339_us(moment.isoformat()) == (moment - _EPOCH) // timedelta(microseconds=1)
