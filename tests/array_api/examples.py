"""How many examples a property gets: `TAPELESS_EXAMPLES`, drawn anew in each run, or a few that
are the same in each."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings


def examples(few: int) -> Any:
    """Settings of a property that runs steps, so slowly."""
    number = os.environ.get("TAPELESS_EXAMPLES")
    return settings(
        max_examples=int(number or few),
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
