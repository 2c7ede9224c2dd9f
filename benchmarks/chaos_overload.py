"""More load than a copy can serve, in steps: what it still answers in time, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.chaos_copy import KEY, Copy
from benchmarks.chaos_load import LIST_DEADLINE_S, Load, summary

STEPS = (1.0, 2.0, 3.0, 0.5)
"""Times the peak; the last says whether it is over when it is over."""
REST_S = 3.0

Line = dict[str, Any]


def overload_steps(
    copy: Copy, peak_per_s: float, step_s: float, event_deadline_s: float
) -> tuple[list[Line], list[Load]]:
    """Each step: `good_per_s` is what was right and there within `LIST_DEADLINE_S` of when it was due, in a second."""
    lines, loads = [], []
    for times in STEPS:
        with Load(copy.port, KEY, peak_per_s * times, event_deadline_s) as load:
            time.sleep(step_s)
        good = sum(answer.is_good and answer.took_s < LIST_DEADLINE_S for answer in load.answers)
        said = summary(load.answers, load.answers[0].due_s)
        lines.append(
            {
                "times_the_peak": times,
                "per_s": round(load.per_second),
                "good_per_s": round(good / step_s),
                "of_peak": round(good / step_s / peak_per_s, 2),
                "codes": said["codes"],
                "own_lag_s": round(load.lag_s, 2),
            }
        )
        loads.append(load)
        time.sleep(REST_S)
    return lines, loads
