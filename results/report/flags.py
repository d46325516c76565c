"""What the flags that instruments, loads and carbon providers raise mean to a reader.

It must not know which of them raises which.
"""

from __future__ import annotations

from typing import Final

FLAG_MEANINGS: Final = {
    "no_steady_state": "latency was still drifting when warm-up had to end",
    "level_shift": "latency changed its level within the window: something else ran on the machine",
    "short_window": "the window is short beside how often the energy counter moves: its edges may be off by much",
    "counter_disagrees": "energy counter and integrated power differ by more than 10%",
    "aliasing_possible": "the load may beat with the power sensor, which sees only part of the time",
    "gap": "the instrument did not look for longer than it should",
    "stale_sensor": "the power sensor kept giving one value while it should have moved",
    "throttled": "the device was slowed down by heat or by its power limit",
    "counter_reset": "the energy counter began anew within the window, so it was not used across that",
    "idle_drift": "idle power was not the same wherever it was measured, so what is net of it is uncertain",
    "stale": "the provider did not answer, and its last known value stands in",
    "partial": "a part of the period is not known: the mean is that of the rest",
    "estimated": "the provider itself estimates what has not been measured yet",
    "polled": "a peak between two looks was not seen",
    "default_tdp": "the processor is not in the model's table, so a default power was taken",
    "device_order_assumed": "the GPU was found by its index, which CUDA may count in another order",
    "sum_of_peaks": "processes peaked at their own times, so their sum is an upper bound",
    "ended_early": "the instrument stopped before the window closed",
    "reaped_children": "child processes had ended before they could be looked at, and are counted by their largest",
}
"""Flag → its meaning, as one clause."""
