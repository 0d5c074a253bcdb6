"""The dead-man's switch: armed by the first Watchdog, it fires once when it is not heard, and resolves when it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.kinds.response_kinds import WATCHDOG_MISSING
from tierdrill.monitoring.alert_names import KNOWN_ALERTS
from tierdrill.monitoring.dead_mans_switch import SILENT_S, DeadMansSwitch
from tierdrill.remediation.incident_book import AlertNotice, notices_of

STEPS = st.lists(st.tuples(st.floats(0.1, 2 * SILENT_S), st.booleans()), max_size=20)


@given(STEPS)
def test_it_fires_for_each_silence_that_is_too_long_and_for_no_other(steps: list[tuple[float, bool]]) -> None:
    told: list[AlertNotice] = []
    now = 1_000.0
    switch = DeadMansSwitch(lambda body: told.extend(notices_of(body)), lambda: now)
    last: float | None = None
    expected: list[str] = []
    for later, heard in steps:
        now += later
        switch.look()
        if last is not None and now - last > SILENT_S and expected[-1:] != ["firing"]:
            expected.append("firing")
        if heard:
            switch.heard()
            last = now
            if expected[-1:] == ["firing"]:
                expected.append("resolved")
        assert [one.status for one in told] == expected
    assert {one.alert for one in told} <= {WATCHDOG_MISSING}
    assert all(set(one.labels) - {"alertname"} == set(KNOWN_ALERTS[WATCHDOG_MISSING]) for one in told)
    for begun, ended in zip(told[::2], told[1::2], strict=False):
        assert begun.incident == ended.incident, "the end is of the firing before it"
