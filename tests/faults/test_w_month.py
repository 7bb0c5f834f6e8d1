"""W1, the other way round: a month without outage leaves thousands of windows, which a run must not feel."""

from collections.abc import Iterator
from typing import Any

from faults.helpers_told import TEN
from integration.helpers_run import DAY, START, Reporter, reporter

from mentat_reporter.store.queries import get

__all__ = ["reporter"]

MONTH = """
insert into mentat_reporter.run_window (clock, severity, lo, hi, fetch_lo, period, snap_xmin, own_xid, state)
select '', 'high', lo, lo + '10 min'::interval, lo, '10 min', number::text::xid8, number::text::xid8, 'done'
from generate_series(%s::timestamptz, %s, '10 min') with ordinality as span (lo, number)
"""


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from steps(part)


def test_w1_where_to_fetch_from_is_found_in_one_pass_over_a_month_of_windows(reporter: Reporter) -> None:
    reporter.execute(MONTH, START - 30 * DAY, START - TEN)
    cursor = reporter.connection.cursor()

    cursor.execute(
        f"explain (analyze, format json) {get('state.horizon')}",
        {"clock": "", "severity": "high", "lo": START},
    )

    [[explained]] = cursor.fetchall()[0]
    read = [step for step in steps(explained["Plan"]) if "Relation Name" in step]
    assert max(step["Actual Rows"] for step in read) == 30 * 144
    assert {step["Actual Loops"] for step in read} <= {0, 1}
