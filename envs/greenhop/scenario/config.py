"""What a scenario file may say: pydantic models, strict about names, ranges and references.

A model holds only what the user decides. Numbers with a source (climate, tariffs, curves) stay in the tables under
`data/` and are joined in `params.py` and `world/`. A field left at `None` means "what the table says".
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from greenhop.errors import ConfigError
from greenhop.scenario.tables import load_table, site_row

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Efficiency = Annotated[float, Field(gt=0.0, le=1.0)]
Pool = Literal["general", "ai", "hpc"]
POOLS: tuple[Pool, ...] = ("general", "ai", "hpc")
Split = Literal["train", "val", "test"]
STEPS_H = (0.25, 0.5, 1.0)  # whole fractions of an hour, so that clocks and tables meet
SPLITS: tuple[Split, ...] = ("train", "val", "test")
TariffMode = Literal["administrative_tou", "spot", "negotiated", "direct_green"]
ForecastMode = Literal["noisy", "perfect", "persistence", "none"]
Cooling = Literal[
    "air_chiller_legacy", "air_free_cooling_indirect_evaporative", "cold_plate_liquid_80pct", "immersion_liquid"
]


class Model(BaseModel):
    """Base: unknown keys are errors, values are frozen once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EpisodeConfig(Model):
    """Length of an episode, the hours of the year at which one may start, and whether its end is priced."""

    length_h: Positive = 168.0
    start_every_h: Positive = 24.0
    terminal: bool = True  # the last step bills the work and energy it leaves; without, an episode is only cut


class YearsConfig(Model):
    """How many world years each split owns; year ids of different splits never meet."""

    train: Count = 16
    val: Count = 2
    test: Count = 4


class PoolConfig(Model):
    """A kind of servers: idle power as a share of full power, and its share of a site's IT capacity."""

    idle_share: Fraction
    capacity_share: Fraction


class OnlineClassConfig(Model):
    """Work that is served in the step it arrives, at home or over a link within its latency budget."""

    pool: Pool
    energy_share: Fraction
    latency_budget_ms: Positive
    gb_per_mwh: NonNegative
    missed_penalty_cny_per_mwh: NonNegative


class DeferrableClassConfig(Model):
    """Work that may wait `window_h` and migrate; deadlines are kept in quanta of `quantum_h`."""

    pool: Pool
    energy_share: Fraction
    window_h: Positive
    quantum_h: Positive
    max_rate_per_h: Positive
    latency_budget_ms: Positive
    restart_overhead: NonNegative
    gb_per_mwh: NonNegative
    missed_penalty_cny_per_mwh: NonNegative


class SiteConfig(Model):
    """One hub. `like` names the table row whose climate, tariff and carbon it uses (default: its own name)."""

    like: str | None = None
    lat_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    it_capacity_mw: Positive | None = None
    cooling: Cooling = "air_free_cooling_indirect_evaporative"
    wind_mw: NonNegative = 0.0
    pv_mw: NonNegative = 0.0
    hydro_mw: NonNegative = 0.0
    ppa_wind_mw: NonNegative = 0.0
    ppa_pv_mw: NonNegative = 0.0
    tariff_mode: TariffMode = "administrative_tou"
    off_grid: bool = False
    connection_ratio: NonNegative = 1.6
    export_fraction: Fraction = 0.2
    diesel_ratio: NonNegative = 0.0

    @model_validator(mode="after")
    def _direct_supply_exports_little(self) -> SiteConfig:
        most = load_table("tariffs")["direct_green"]["exported_of_generation_max"]
        if self.tariff_mode == "direct_green" and self.export_fraction > most:
            raise ValueError(
                f"export_fraction = {self.export_fraction:g}: under tariff_mode = direct_green a site may export "
                f"at most {most:g} of its generation"
            )
        return self


class LinkConfig(Model):
    """A fibre between two sites, used in both directions; the latency follows from the distance."""

    between: tuple[str, str]
    bandwidth_gbps: Positive | None = None
    price_cny_per_gb: NonNegative | None = None
    staged: Fraction = 0.0


class StorageConfig(Model):
    """A storage unit at a site: own battery, shared battery (rented per MWh) or molten-salt CSP."""

    site: str
    kind: Literal["battery", "shared", "csp"] = "battery"
    power_mw: Positive
    duration_h: Positive = 4.0
    csp_field_mw: NonNegative = 0.0
    efficiency_charge: Efficiency | None = None
    efficiency_discharge: Efficiency | None = None
    wear_cny_per_mwh: NonNegative | None = None


class MarketConfig(Model):
    """Money that is not a tariff. `None` takes the table's default (see `data/`)."""

    carbon_price_cny_per_t: NonNegative | None = None
    certificate_price_cny_per_mwh: NonNegative | None = None
    green_target: Fraction = 0.8
    lost_load_cny_per_mwh: Positive = 20_000.0
    demand_floor_fraction: Fraction = 0.4
    green_cost_cny_per_mwh: NonNegative = 10.0
    marginal_carbon: bool = False


class DemandConfig(Model):
    """How much work arrives, as a share of nameplate IT capacity, and how strongly it clings to its origin."""

    mean_loading: Fraction = 0.45
    max_site_loading: Fraction = 0.6
    multiplier: Positive = 1.0
    origin_decay_km: Positive = 600.0
    migration_whitelist: dict[str, list[str]] = Field(default_factory=dict)


class ForecastConfig(Model):
    """What agents and MPC see of the future."""

    mode: ForecastMode = "noisy"
    horizon_h: Count = 24
    error_scale: NonNegative = 1.0


class EventConfig(Model):
    """A disturbance that recurs at random; see `world/events.py` for what each kind does."""

    kind: Literal["site_outage", "link_cut", "dunkelflaute", "demand_surge", "curtailment_order"]
    per_year: NonNegative
    duration_h: Positive
    magnitude: Fraction | Positive = 1.0
    sites: list[str] = Field(default_factory=list)


class DecoderConfig(Model):
    """Scales of the shadow-price action, see `actions.py`. Zero action = price following at these settings."""

    name: str = "shadow_price"
    bid_cny_per_mwh: Positive = 300.0
    width_cny_per_mwh: Positive = 40.0
    migrate_rate_per_h: Fraction = 0.2
    congestion_cny_per_mwh: NonNegative = 100.0
    congestion_from: Fraction = 0.5
    reserve: Fraction = 0.65


def _divides_the_hour(dt_h: float) -> float:
    if dt_h not in STEPS_H:
        raise ValueError(f"allowed: {', '.join(f'{step:g}' for step in STEPS_H)}")
    return dt_h


class ScenarioConfig(Model):
    """Everything that defines an environment."""

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    dt_h: Annotated[float, AfterValidator(_divides_the_hour)] = 1.0
    episode: EpisodeConfig = EpisodeConfig()
    years: YearsConfig = YearsConfig()
    capacity_year: Literal["now", "2030"] = "now"
    sites: dict[str, SiteConfig]
    links: list[LinkConfig]
    storage: dict[str, StorageConfig] = Field(default_factory=dict)
    pools: dict[Pool, PoolConfig]
    online: dict[str, OnlineClassConfig]
    deferrable: dict[str, DeferrableClassConfig]
    demand: DemandConfig = DemandConfig()
    market: MarketConfig = MarketConfig()
    forecast: ForecastConfig = ForecastConfig()
    events: dict[str, EventConfig] = Field(default_factory=dict)
    decoder: DecoderConfig = DecoderConfig()
    world: str | None = None

    @field_validator("links", mode="before")
    @classmethod
    def _links_may_have_names(cls, given: Any) -> Any:
        """A mapping of names to links, which a variant can add to and change one by one, or a plain list."""
        return list(given.values()) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _references_exist(self) -> ScenarioConfig:
        if not self.sites:
            raise ValueError("sites: at least one site is needed")
        for name, site in self.sites.items():
            site_row(site.like or name, f"sites.{name}")
        seen: set[frozenset[str]] = set()
        for i, link in enumerate(self.links):
            self._known_sites(f"links.{i}.between", link.between)
            pair = frozenset(link.between)
            if len(pair) == 1:
                raise ValueError(f"links.{i}.between = {list(link.between)}: a link needs two different sites")
            if pair in seen:
                raise ValueError(f"links.{i}.between = {sorted(pair)} is given twice")
            seen.add(pair)
        for unit, storage in self.storage.items():
            self._known_sites(f"storage.{unit}.site", [storage.site])
            if storage.kind != "csp" and storage.csp_field_mw:
                raise ValueError(f"storage.{unit}.csp_field_mw is only for kind = csp, not {storage.kind}")
        for name, event in self.events.items():
            self._known_sites(f"events.{name}.sites", event.sites)
        for cls, places in self.demand.migration_whitelist.items():
            if cls not in self.deferrable:
                raise ValueError(
                    f"demand.migration_whitelist: {cls!r} is no deferrable class; allowed: {sorted(self.deferrable)}"
                )
            self._known_sites(f"demand.migration_whitelist.{cls}", places)
        return self

    def _known_sites(self, where: str, names: tuple[str, ...] | list[str]) -> None:
        for name in names:
            if name not in self.sites:
                raise ValueError(f"{where}: unknown site {name!r}; allowed: {', '.join(self.sites)}")

    @model_validator(mode="after")
    def _shares_and_clocks_fit(self) -> ScenarioConfig:
        classes: list[OnlineClassConfig | DeferrableClassConfig] = [*self.online.values(), *self.deferrable.values()]
        if not self.deferrable:
            raise ValueError("deferrable: at least one class is needed")
        for cls in classes:
            if cls.pool not in self.pools:
                raise ValueError(f"pool {cls.pool!r} is used by a class but not listed under pools")
        if abs(sum(c.energy_share for c in classes) - 1.0) > 1e-6:
            raise ValueError("energy_share of all online and deferrable classes must add up to 1")
        if abs(sum(p.capacity_share for p in self.pools.values()) - 1.0) > 1e-6:
            raise ValueError("capacity_share of all pools must add up to 1")
        for name, cls_ in self.deferrable.items():
            self._whole_steps(f"deferrable.{name}.window_h", cls_.window_h)
            self._whole_steps(f"deferrable.{name}.quantum_h", cls_.quantum_h)
            if 24 % cls_.quantum_h:
                raise ValueError(f"deferrable.{name}.quantum_h = {cls_.quantum_h:g} must divide 24")
            if cls_.window_h < cls_.quantum_h:
                raise ValueError(f"deferrable.{name}.window_h must be at least quantum_h = {cls_.quantum_h:g}")
        self._whole_steps("episode.length_h", self.episode.length_h)
        self._whole_steps("episode.start_every_h", self.episode.start_every_h)
        return self

    def _whole_steps(self, where: str, hours: float) -> None:
        if abs(hours / self.dt_h - round(hours / self.dt_h)) > 1e-9:
            raise ValueError(f"{where} = {hours:g} is not a whole number of steps of dt_h = {self.dt_h:g}")

    @property
    def steps(self) -> int:
        """Steps in an episode (T)."""
        return round(self.episode.length_h / self.dt_h)


def parse_scenario(data: Mapping[str, Any], where: str = "scenario") -> ScenarioConfig:
    """Check `data` against the schema; the first problem becomes a one-line `ConfigError` naming file and key."""
    try:
        return ScenarioConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, where)) from None


def describe(error: ValidationError, where: str) -> str:
    """One line for the first problem in `error`: what was given, what is allowed, where."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        close = get_close_matches(str(first["loc"][-1]), _field_names(), n=1)
        message = "unknown key" + (f"; did you mean {close[0]}?" if close else "")
    given = first["input"]
    shown = f" = {given!r}" if isinstance(given, str | int | float | bool) else ""
    return f"{key}{shown}: {message}; in {where}" if key else f"{message}; in {where}"


def _field_names() -> set[str]:
    """Every key the schema knows, at any depth."""
    return {name for model in Model.__subclasses__() for name in model.model_fields}
