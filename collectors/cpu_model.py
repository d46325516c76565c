"""Energy of the processor and its memory by codecarbon's model, where no counter answers.

codecarbon is asked for its *model* alone, also where it could read counters, which :mod:`collectors.rapl` does: one
offline tracker per process, never started, tells what hardware it found; its processor and memory objects then give
energy for each stretch between two looks of our own sleeping sampler, and the cumulated energy is read at the
window's edges, which arrive afterwards. Nothing of codecarbon's scheduler, files, network or carbon factors runs.

The model (codecarbon 3.3.2, ``external/hardware.py``) takes the whole machine's load since its last look:
``power = TDP × (0.1 + 0.9 × load³)``, and for memory a constant from the number of DIMMs it guesses. Neither is near
the truth by much, so the interval is that of what such hardware may draw at all, whatever its load:

- Processor: a desktop's package rests at about 2% of its TDP (a server's at 10–30%), and short-term limits reach
  about twice the TDP. A processor that codecarbon does not know gets 4 W per thread; processors are sold with 1 W
  (servers of many cores) to 12 W per thread (desktops of few), short-term limits counted in, and the figure is
  flagged ``default_tdp``.
- Memory: codecarbon's two heuristics, 3 W per 8 GB and 5 W per DIMM, know no load; the interval is from half the
  lesser to twice the greater.

This module must not know what loads the processor. It alone imports codecarbon.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, ClassVar, Final

from collectors.protocol import Answer, Availability, Clock, Place, Subject
from collectors.sampler import Sampler, Series
from results.records import Method, Metric, Observation, Reading, Window
from results.units import JOULE, WATT, joules_from_kwh, seconds_from_ns

PERIOD_S: Final = 0.25
GAP_PERIODS: Final = 4
"""A stretch this many periods long without a look is flagged ``gap``."""
IDLE_FRACTION: Final = 0.02
"""The least that a package draws, as a part of its TDP."""
TURBO_FRACTION: Final = 2.0
"""The most that a package draws, as a multiple of its TDP."""
DEFAULT_W_PER_THREAD: Final = 4.0
"""What codecarbon takes for a processor that it does not know."""
SOLD_W_PER_THREAD: Final = (1.0, 12.0)
"""Least TDP and greatest short-term limit per thread among processors that are sold."""
W_PER_GB_BEFORE_V3: Final = 3 / 8
"""codecarbon's memory heuristic before its version 3, quoted in ``external/ram.py``."""
MEMORY_MARGIN: Final = 2.0
"""By what factor a memory's load may move its power away from a heuristic, either way."""

LOAD_MODE: Final = "cpu_load"
NODE: Final = "node"
"""The model takes the whole machine's load: its powers are no single package's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """codecarbon's two hardware objects and what it based them on.

    Both objects have ``start()`` and ``measure_power_and_energy(seconds) -> (power, energy)``.
    """

    cpu: Any
    ram: Any
    cpu_name: str
    tdp_w: float
    tdp_is_default: bool
    memory_gb: float
    version: str


class CpuModel:
    """Energy of package and memory, modelled by codecarbon from the machine's load; every start begins anew.

    Args:
        clock: CLOCK_MONOTONIC nanoseconds.
        load: gives the power model; the default sets codecarbon up once per process, which takes 1–2 s.
        period_s: mean time between looks; None leaves :meth:`sample` to the caller.
    """

    name: ClassVar[str] = "codecarbon"
    place: ClassVar[Place] = Place.AGENT
    metrics: ClassVar[tuple[str, ...]] = ("energy_cpu_j", "energy_ram_j")

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic_ns,
        load: Callable[[], PowerModel] | None = None,
        period_s: float | None = PERIOD_S,
    ) -> None:
        self._clock, self._load, self._period_s = clock, load or load_power_model, period_s
        self._sampler: Sampler | None = None
        self._model: PowerModel | None = None
        self._at_ns: list[int] = []
        self._cpu_j: list[float] = []
        self._ram_j: list[float] = []

    def probe(self, subject: Subject) -> Availability:  # noqa: ARG002 - the protocol's
        """Available wherever codecarbon is installed, and never more than a model."""
        if importlib.util.find_spec("codecarbon") is None:
            return Availability(
                available=False, reason="codecarbon is not installed", fix="pip install 'codecarbon>=3.3'"
            )
        resolution, source = f"{self._period_s or PERIOD_S:g} s", f"codecarbon {_version()}"
        return Availability(
            available=True,
            method=Method.MODELLED,
            scope="package",
            resolution=resolution,
            source=f"{source}: TDP and load",
            answers={
                "energy_ram_j": Answer(
                    method=Method.MODELLED, scope="dram", resolution=resolution, source=f"{source}: guessed DIMMs"
                )
            },
        )

    def start(self, subject: Subject) -> None:  # noqa: ARG002 - the protocol's
        """Set codecarbon up if this process has not yet, and begin to look.

        Raises:
            LookupError: if this codecarbon is built otherwise than the one that was studied, or offers no
                model for this platform.
        """
        self._sampler = None
        self._model = self._load()
        self._model.cpu.start()
        self._model.ram.start()
        self._at_ns, self._cpu_j, self._ram_j = [self._clock()], [0.0], [0.0]
        if self._period_s is not None:
            self._sampler = Sampler(self.sample, self._period_s)
            self._sampler.start()

    def sample(self) -> None:
        """Look once: the energy since the last look, by the load since the last look."""
        model = self._running_model()
        now_ns = self._clock()
        elapsed_s = seconds_from_ns(now_ns - self._at_ns[-1])
        if elapsed_s <= 0:
            return
        _, cpu = model.cpu.measure_power_and_energy(elapsed_s)
        _, ram = model.ram.measure_power_and_energy(elapsed_s)
        self._cpu_j.append(self._cpu_j[-1] + joules_from_kwh(cpu.kWh))
        self._ram_j.append(self._ram_j[-1] + joules_from_kwh(ram.kWh))
        self._at_ns.append(now_ns)

    def stop(self, window: Window) -> Observation:
        """Look a last time and read the cumulated energy at the window's edges.

        Raises:
            ValueError: if the looks do not cover the window.
        """
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        self.sample()
        return self.over(window)

    def over(self, window: Window) -> Observation:
        """The modelled energy between a window's edges; after ``stop``, as often as asked.

        Raises:
            ValueError: if the looks do not cover the window.
        """
        model = self._running_model()
        cpu = Series(at_ns=self._at_ns, values=self._cpu_j)
        ram = Series(at_ns=self._at_ns, values=self._ram_j)
        if not cpu.covers(window):
            raise ValueError("the window opened before the first look or closed after the last")
        powers = (("power_cpu_w", cpu), ("power_ram_w", ram))
        return Observation(
            metrics=(_cpu_metric(cpu, model, window), _ram_metric(ram, model, window)),
            readings=tuple(
                Reading(collector=self.name, device=NODE, metric=metric, at_ns=at_ns, value=power_w, unit=WATT)
                for metric, series in powers
                for at_ns, power_w in series.rates(window)
            ),
        )

    def _running_model(self) -> PowerModel:
        if self._model is None:
            raise LookupError("the model was never started")
        return self._model


def _cpu_metric(series: Series, model: PowerModel, window: Window) -> Metric:
    seconds = seconds_from_ns(window.duration_ns)
    basis = "default of 4 W per thread, the processor is not in its table" if model.tdp_is_default else "table"
    if model.tdp_is_default:
        threads = model.tdp_w / DEFAULT_W_PER_THREAD
        lo_w, hi_w = (threads * per_thread_w for per_thread_w in SOLD_W_PER_THREAD)
    else:
        lo_w, hi_w = model.tdp_w, TURBO_FRACTION * model.tdp_w
    return Metric(
        name="energy_cpu_j",
        value=series.rise(window),
        unit=JOULE,
        method=Method.MODELLED,
        source=f"codecarbon {model.version}, {LOAD_MODE}: {model.cpu_name}, TDP {model.tdp_w:g} W ({basis})",
        lo=IDLE_FRACTION * lo_w * seconds,
        hi=hi_w * seconds,
        scope="package",
        observations=series.looks(window),
        largest_gap_s=series.largest_gap_s(window),
        flags=(*_gap_flag(series, window), *(("default_tdp",) if model.tdp_is_default else ())),
    )


def _ram_metric(series: Series, model: PowerModel, window: Window) -> Metric:
    by_dimms_j = series.rise(window)
    by_size_j = W_PER_GB_BEFORE_V3 * model.memory_gb * seconds_from_ns(window.duration_ns)
    return Metric(
        name="energy_ram_j",
        value=by_dimms_j,
        unit=JOULE,
        method=Method.MODELLED,
        source=f"codecarbon {model.version}: {model.memory_gb:.1f} GB by guessed DIMMs",
        lo=min(by_dimms_j, by_size_j) / MEMORY_MARGIN,
        hi=max(by_dimms_j, by_size_j) * MEMORY_MARGIN,
        scope="dram",
        observations=series.looks(window),
        largest_gap_s=series.largest_gap_s(window),
        flags=_gap_flag(series, window),
    )


def _gap_flag(series: Series, window: Window) -> tuple[str, ...]:
    return ("gap",) if series.largest_gap_s(window) > GAP_PERIODS * PERIOD_S else ()


@cache
def load_power_model() -> PowerModel:
    """Set codecarbon up, once per process.

    Raises:
        LookupError: if its internals are not as studied, or it has no processor model for this platform.
    """
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # after the import, which sets it to INFO
    try:
        return _model_of(OfflineEmissionsTracker(**tracker_arguments()))
    except (AttributeError, KeyError, TypeError) as error:
        raise LookupError(f"codecarbon {_version()} keeps its model elsewhere: {error}") from error


def _model_of(tracker: Any) -> PowerModel:
    found = tracker.get_detected_hardware()
    hardware = {type(part).__name__: part for part in tracker._hardware}
    missing = sorted({"CPU", "RAM"} - hardware.keys())
    if missing:
        raise LookupError(f"codecarbon {_version()} offers no {' and no '.join(missing)} model on this platform")
    cpu = hardware["CPU"]
    if cpu._mode != LOAD_MODE or not cpu._tdp:
        raise LookupError(f"codecarbon {_version()} answers by {cpu._mode!r}, which is no model of the load")
    name = str(found["cpu_model"])
    return PowerModel(
        cpu=cpu,
        ram=hardware["RAM"],
        cpu_name=name,
        tdp_w=float(cpu._tdp),
        tdp_is_default=bool(cpu._is_generic_tdp) or not _in_table(name),
        memory_gb=float(found["ram_total_size"]),
        version=_version(),
    )


def _in_table(cpu_name: str) -> bool:
    """Whether codecarbon's table of processors knows this one."""
    from codecarbon.core import cpu
    from codecarbon.core.hardware_cache import get_cached_tdp

    return get_cached_tdp(cpu)._get_cpu_power_from_registry(cpu_name) is not None


def _version() -> str:
    return metadata.version("codecarbon")


def tracker_arguments() -> dict[str, Any]:
    """Every argument of the offline tracker, because files and environment variables fill what is omitted.

    The deprecated ``save_to_*`` and ``co2_signal_api_token`` alone are left out: they warn when passed, and an
    explicit ``output_methods`` and ``electricitymaps_api_token`` keep them from being looked up.
    """
    return {
        "project_name": "joulemark",
        "measure_power_secs": PERIOD_S,
        "api_call_interval": -1,
        "api_endpoint": "",
        "api_key": "",
        "output_dir": tempfile.gettempdir(),
        "output_file": "",
        "output_methods": [],
        "logging_logger": None,
        "prometheus_url": "",
        "output_handlers": [],
        "gpu_ids": None,
        "emissions_endpoint": None,
        "experiment_id": "",
        "experiment_name": "",
        "electricitymaps_api_token": "",
        "tracking_mode": "machine",
        "log_level": "critical",
        "on_csv_write": "append",
        "logger_preamble": "",
        "force_cpu_power": None,
        "force_ram_power": None,
        "pue": 1.0,
        "wue": 0.0,
        "force_carbon_intensity_g_co2e_kwh": None,
        "force_mode_cpu_load": True,
        "allow_multiple_runs": True,
        "rapl_include_dram": False,
        "rapl_prefer_psys": False,
        "metadata": None,
        "country_iso_code": None,
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
        "country_2letter_iso_code": None,
    }


PROVIDES = (CpuModel,)
