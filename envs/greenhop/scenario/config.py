"""What a scenario file may say: pydantic models, strict about names, ranges and references.

A model holds only what the user decides. Numbers with a source (climate, tariffs, curves) stay in the tables under
`data/` and are joined in `params.py` and `world/`. A field left at `None` means "what the table says".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from greenhop.errors import ConfigError, nearest
from greenhop.scenario.limits import Limited, Name
from greenhop.scenario.tables import load_table, site_row
from greenhop.scenario.telemetry import ObservationConfig

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Efficiency = Annotated[float, Field(gt=0.0, le=1.0)]
Pool = Literal["general", "ai", "ai_legacy", "hpc"]
POOLS: tuple[Pool, ...] = ("general", "ai", "ai_legacy", "hpc")
Split = Literal["train", "val", "test"]
STEPS_H = (0.25, 0.5, 1.0)  # whole fractions of an hour, so that clocks and tables meet
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MOST_QUANTA = 400  # deadlines within a window: the state grows with them (assumption: a month in steps of two hours)
Centre = Literal["hub", "ai", "supercomputing"]
TariffMode = Literal["administrative_tou", "spot", "negotiated", "direct_green"]
ForecastMode = Literal["noisy", "perfect", "persistence", "none"]
Cooling = Literal[
    "air_chiller_legacy", "air_free_cooling_indirect_evaporative", "cold_plate_liquid_80pct", "immersion_liquid"
]


class Model(Limited):
    """Base of what a scenario file says."""


class EpisodeConfig(Model):
    """Length of an episode, the hours of the year at which one may start, and whether its end is priced."""

    length_h: Positive = 168.0
    """How long an episode lasts, h; a whole number of steps."""
    start_every_h: Positive = 24.0
    """Episodes may begin every so many hours of a year, h; a whole number of steps."""
    terminal: bool = True
    """Whether the last step bills the work and energy it leaves; without, an episode is only cut."""


class YearsConfig(Model):
    """How many world years each split owns; year ids of different splits never meet."""

    train: Count = 16
    """World years that agents learn in, years."""
    val: Count = 2
    """World years that choose among policies, years."""
    test: Count = 4
    """World years that results are reported on, years."""


class PoolConfig(Model):
    """A kind of servers: idle power as a share of full power, and its share of a site's IT capacity."""

    idle_share: Fraction
    """Power of idle servers, share of their full power."""
    capacity_share: Fraction
    """Servers of this kind, share of a site's IT capacity; all pools add up to 1."""


class OnlineClassConfig(Model):
    """Work that is served in the step it arrives, at its hub or over a link within its latency budget."""

    pool: Pool
    """Kind of servers that the class needs."""
    energy_share: Fraction
    """Share of all work; the shares of all online and deferrable classes add up to 1."""
    latency_budget_ms: Positive
    """Longest round trip user–hub–site on the fibre, ms; users farther away are served at their hub."""
    latency_cny_per_ms_mwh: NonNegative = 0.0
    """What each millisecond of round trip beyond the hub costs in quality, CNY per ms and MWh of work."""
    gb_per_mwh: NonNegative
    """Data that moves with work served elsewhere, GB per MWh of work."""
    missed_penalty_cny_per_mwh: NonNegative
    """Price of work that is not served in its step, CNY per MWh of work."""


class AlternativeConfig(Model):
    """Another pool that a class may run on, faster or slower, with more or less energy than its own."""

    pool: Pool
    """Kind of servers, another than the class's own."""
    speed: Positive
    """Work done per MWh of its room."""
    energy: Positive
    """Server energy per MWh of work."""

    @model_validator(mode="after")
    def _servers_draw_no_more_than_they_can(self) -> AlternativeConfig:
        if (drawn := self.energy * self.speed) > 1.0:
            raise ValueError(f"energy × speed = {drawn:g}: servers cannot draw more than full power, which is 1")
        return self


class DeferrableClassConfig(Model):
    """Work that may wait `window_h` and migrate; deadlines are kept in quanta of `quantum_h`."""

    pool: Pool
    """Kind of servers that the class needs."""
    alternative: AlternativeConfig | None = None
    """Another kind that it may run on; null: none."""
    energy_share: Fraction
    """Share of all work; the shares of all online and deferrable classes add up to 1."""
    window_h: Positive
    """Time from arrival to deadline, h; a whole number of steps, at least `quantum_h`."""
    quantum_h: Positive
    """Deadlines are kept in quanta of this length, h; must divide 24."""
    max_rate_per_h: Positive
    """Most of the waiting work of a deadline that can run in an hour, share per hour."""
    latency_budget_ms: Positive
    """Longest link that the class may migrate over, ms."""
    restart_overhead: NonNegative
    """Work added by a migration, share of the migrated work."""
    gb_per_mwh: NonNegative
    """Data that moves with migrated work, GB per MWh of work."""
    replica_sync: Fraction | None = None
    """Share of its data that arriving work sends to each replica (links with `staged`); null: the class keeps none."""
    missed_penalty_cny_per_mwh: NonNegative
    """Price of work not served by its deadline, CNY per MWh of work."""


class SiteConfig(Model):
    """One hub. `like` names the table row whose climate, tariff and carbon it uses (default: its own name)."""

    like: str | None = None
    """Row of the table of sites whose climate, tariff and carbon the site uses; null: the row of its own name."""
    lat_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Latitude, degrees north; null: the table's."""
    lon_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    """Longitude, degrees east; null: the table's."""
    it_capacity_mw: Positive | None = None
    """Power of all servers at full load, MW; null: the table's for `capacity_year`."""
    cooling: Cooling = "air_free_cooling_indirect_evaporative"
    """Kind of cooling; its PUE by outdoor temperature stands in `data/cooling.yaml`."""
    wind_mw: NonNegative = 0.0
    """Own wind power, MW."""
    pv_mw: NonNegative = 0.0
    """Own solar power, MW."""
    hydro_mw: NonNegative = 0.0
    """Own run-of-river power, MW."""
    ppa_wind_mw: NonNegative = 0.0
    """Wind power contracted through the grid, MW."""
    ppa_pv_mw: NonNegative = 0.0
    """Solar power contracted through the grid, MW."""
    ppa_flat_mw: NonNegative = 0.0
    """Green power contracted as a flat block, whatever the weather, MW."""
    ppa_strike_cny_per_mwh: NonNegative | None = None
    """Strike price of the contracts, wires and fees not included, CNY per MWh; null: flat energy price and premium."""
    plants_km: NonNegative = 0.0
    """How far away the own plants stand, km; beyond `market.direct_distance_max_km` they pay wires."""
    centre: Centre = "hub"
    """Kind of centre, which decides the cap on its PUE (`data/cooling.yaml`)."""
    ride_through_h: NonNegative = 0.0
    """Hours for which grid-forming stores must be able to feed the online work of the site, h."""
    tariff_mode: TariffMode = "administrative_tou"
    """How grid energy is priced."""
    off_grid: bool = False
    """Whether the site has no grid connection."""
    connection_ratio: NonNegative = 1.6
    """Grid connection over IT capacity, MW per MW."""
    export_fraction: Fraction = 0.2
    """Most of the own green power of a step that may be exported, share."""
    diesel_ratio: NonNegative = 0.0
    """Diesel generators over IT capacity, MW per MW."""

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
    """The two sites that the fibre joins."""
    bandwidth_gbps: Positive | None = None
    """Bandwidth in each direction, Gbit/s; null: the table's (`data/network.yaml`)."""
    price_cny_per_gb: NonNegative | None = None
    """Price of moved data, CNY per GB; null: the table's (`data/network.yaml`)."""
    staged: Fraction = 0.0
    """Share of the data of classes with replicas that either site keeps for the other, so that it need not move."""


class StorageConfig(Model):
    """A storage unit at a site: own battery, shared battery (rented per MWh) or molten-salt CSP."""

    site: str
    """Site that the unit stands at."""
    kind: Literal["battery", "shared", "csp"] = "battery"
    """Own battery, battery shared with others (rented per MWh) or molten salt heated by the sun."""
    power_mw: Positive
    """Most power in or out, MW."""
    duration_h: Positive = 4.0
    """Hours of full power that it holds, h."""
    csp_field_mw: NonNegative = 0.0
    """Thermal power of the solar field, MW; for `kind: csp` alone."""
    grid_forming: bool = False
    """Whether the unit can carry the site without the grid, and so hold its reserve."""
    efficiency_charge: Efficiency | None = None
    """Energy stored per energy taken in, share; null: the table's (`data/storage.yaml`)."""
    efficiency_discharge: Efficiency | None = None
    """Energy given per energy taken from the store, share; null: the table's."""
    wear_cny_per_mwh: NonNegative | None = None
    """Wear, or rent of a shared unit, CNY per MWh discharged; null: the table's."""


class MarketConfig(Model):
    """Money that is not a tariff. `None` takes the table's default (see `data/`)."""

    carbon_price_cny_per_t: NonNegative | None = None
    """Price of carbon of grid power and diesel, paid everywhere, CNY per t; null: what the province's market bills data
    centres (`data/carbon.yaml`), in most provinces nothing."""
    certificate_price_cny_per_mwh: NonNegative | None = None
    """Price of a certificate for green energy that is lacking, CNY per MWh; null: the table's."""
    green_target: Fraction = 0.8
    """Share of each site's energy that must be green."""
    certificate_share_max: Fraction | None = None
    """Most of a site's energy that certificates may make green, share; null: the table's."""
    green_penalty_cny_per_mwh: NonNegative | None = None
    """Penalty of green energy that even certificates may not replace, CNY per MWh; null: the table's. What is not
    above the price of a certificate lifts the limit."""
    take_or_pay_share: Fraction | None = None
    """Share of contracted energy that is paid even if it is not taken; null: the table's."""
    pue_surcharge_cny_per_mwh: NonNegative | None = None
    """Surcharge on energy above the cap on PUE, CNY per MWh; null: the table's."""
    reserve_penalty_cny_per_mwh_h: NonNegative | None = None
    """Price of a reserve that is not held, CNY per MWh and hour; null: the table's (`data/storage.yaml`)."""
    wires_by_capacity: bool = True
    """Whether sites of direct supply pay wires by capacity and keep its rules; false: by energy, as others do."""
    direct_distance_max_km: NonNegative | None = None
    """Distance of own plants up to which their power pays no wires, km; null: the table's."""
    lost_load_cny_per_mwh: Positive = 20_000.0
    """Price of load that nothing supplies, CNY per MWh."""
    demand_floor_fraction: Fraction = 0.4
    """Metered peak that is paid for in any case, share of the grid connection."""
    green_cost_cny_per_mwh: NonNegative = 10.0
    """Running cost of own green power, CNY per MWh."""
    marginal_carbon: bool = False
    """Whether grid power has the carbon of the station that runs for it, instead of the hour's mean."""


class DemandConfig(Model):
    """How much work arrives, as a share of nameplate IT capacity, and how strongly it clings to its origin."""

    mean_loading: Fraction = 0.45
    """Work that arrives in an average hour, share of the IT capacity of all sites."""
    max_site_loading: Fraction = 0.6
    """Most that may arrive at a site on average, share of its IT capacity; the rest goes to others."""
    multiplier: Positive = 1.0
    """Factor on all arriving work."""
    origin_decay_km: Positive = 600.0
    """Distance over which the pull of a site on work falls to 1/e, km."""
    migration_whitelist: dict[str, list[str]] = Field(default_factory=dict)
    """Deferrable class → the only sites it may migrate to; a class that is not named may go anywhere."""


class ForecastConfig(Model):
    """What agents and MPC see of the future."""

    mode: ForecastMode = "noisy"
    """Noisy as real forecasts are, perfect, the present persisting, or none."""
    horizon_h: Count = 24
    """How far ahead planners may ask for forecasts, h; less than 24 is 24."""
    error_scale: NonNegative = 1.0
    """Factor on the errors of a noisy forecast."""
    leads_h: tuple[Count, ...] = (1, 2, 3, 6, 12, 24)
    """Leads at which observations hold a forecast, h, increasing; decoders take them as all they know of the future."""
    averaged: bool = False
    """Whether a lead's forecast is the mean of the hours since the lead before it, instead of the hour itself."""

    @model_validator(mode="after")
    def _leads_increase(self) -> ForecastConfig:
        leads, most = self.leads_h, max(24, self.horizon_h)
        if not leads or leads[-1] > most or any(a >= b for a, b in pairwise(leads)):
            raise ValueError(f"leads_h = {list(leads)} must increase and end at {most} h or before")
        return self


class EventConfig(Model):
    """A disturbance that recurs at random; see `world/events.py` for what each kind does."""

    kind: Literal["site_outage", "link_cut", "dunkelflaute", "demand_surge", "curtailment_order"]
    """What happens; `world/events.py` says what each kind multiplies."""
    per_year: NonNegative
    """How often on average, events per year."""
    duration_h: Positive
    """How long it lasts, h."""
    magnitude: Fraction | Positive = 1.0
    """What is lost, or what arrives on top, share of the whole."""
    sites: list[str] = Field(default_factory=list)
    """Sites that it may strike; an empty list means every site."""


class DecoderConfig(Model):
    """Scales of the shadow-price action, see `actions.py`. Zero action = price following at these settings."""

    name: str = "shadow_price"
    """Which decoder turns an action into a plan."""
    bid_cny_per_mwh: Positive = 450.0
    """What a bid of 1 is worth, CNY per MWh; near zero a bid is worth a third of its share of that."""
    width_cny_per_mwh: Positive = 40.0
    """Width of a decision between two prices, CNY per MWh: each width of difference multiplies the odds by e."""
    migrate_rate_per_h: Fraction = 0.2
    """Most of the waiting work that migrates in an hour, share per hour."""
    congestion_cny_per_mwh: NonNegative = 100.0
    """What a site at pressure 1 costs work that might move there, CNY per MWh."""
    congestion_from: Fraction = 0.5
    """Pressure from which a site counts as crowded: work at an even pace over room."""
    reserve: Fraction = 0.65
    """Share of its room that a class counts on from now to its deadlines; what would then come too late runs now."""


def _divides_the_hour(dt_h: float) -> float:
    if dt_h not in STEPS_H:
        raise ValueError(f"allowed: {', '.join(f'{step:g}' for step in STEPS_H)}")
    return dt_h


class ScenarioConfig(Model):
    """Everything that defines an environment."""

    name: Name
    """Name that results are told apart by; change it whenever numbers change."""
    description: str = ""
    """One sentence for people."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the world: weather, prices, work and events."""
    dt_h: Annotated[float, AfterValidator(_divides_the_hour)] = 1.0
    """Length of a step, h: 0.25, 0.5 or 1."""
    episode: EpisodeConfig = EpisodeConfig()
    """How long an episode lasts and when it may begin."""
    years: YearsConfig = YearsConfig()
    """How many world years each split owns."""
    capacity_year: Literal["now", "2030"] = "now"
    """Year of the table's IT capacities."""
    sites: dict[Name, SiteConfig]
    """Data-centre hubs by name."""
    links: list[LinkConfig]
    """Fibres between sites, as a list or by name."""
    storage: dict[Name, StorageConfig] = Field(default_factory=dict)
    """Storage units by name."""
    pools: dict[Pool, PoolConfig]
    """Kinds of servers."""
    online: dict[Name, OnlineClassConfig]
    """Classes of work that is served at once, by name."""
    deferrable: dict[Name, DeferrableClassConfig]
    """Classes of work that may wait and migrate, by name."""
    demand: DemandConfig = DemandConfig()
    """How much work arrives, and where."""
    market: MarketConfig = MarketConfig()
    """Prices beyond the tariff."""
    forecast: ForecastConfig = ForecastConfig()
    """What agents and planners are told of the future."""
    observation: ObservationConfig = ObservationConfig()
    """What agents and planners see of the present."""
    events: dict[Name, EventConfig] = Field(default_factory=dict)
    """Disturbances by name."""
    decoder: DecoderConfig = DecoderConfig()
    """What an action means."""
    world: str | None = None
    """Folder of a world pack with series of one's own; null: the world is generated."""

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
        self._known_sites("observation.telemetry.silent", self.observation.telemetry.silent)
        return self

    @model_validator(mode="after")
    def _reserves_have_stores(self) -> ScenarioConfig:
        for name, site in self.sites.items():
            if site.ride_through_h and not any(u.site == name and u.grid_forming for u in self.storage.values()):
                raise ValueError(
                    f"sites.{name}.ride_through_h = {site.ride_through_h:g}: the site has no storage unit with "
                    "grid_forming = true"
                )
        for unit, storage in self.storage.items():
            if storage.grid_forming and storage.kind == "csp":
                raise ValueError(f"storage.{unit}.grid_forming: a turbine on stored heat does not form the grid")
        return self

    def _known_sites(self, where: str, names: tuple[str, ...] | list[str]) -> None:
        for name in names:
            if name not in self.sites:
                raise ValueError(f"{where}: unknown site {name!r}; allowed: {', '.join(self.sites)}")

    @model_validator(mode="after")
    def _shares_and_clocks_fit(self) -> ScenarioConfig:
        classes: list[OnlineClassConfig | DeferrableClassConfig] = [*self.online.values(), *self.deferrable.values()]
        if not classes:
            raise ValueError("online, deferrable: at least one class of work is needed")
        for cls in classes:
            if cls.pool not in self.pools:
                raise ValueError(f"pool {cls.pool!r} is used by a class but not listed under pools")
        for name, cls_ in self.deferrable.items():
            if cls_.alternative and (cls_.alternative.pool == cls_.pool or cls_.alternative.pool not in self.pools):
                others = sorted(set(self.pools) - {cls_.pool})
                raise ValueError(
                    f"deferrable.{name}.alternative.pool = {cls_.alternative.pool!r} must be another pool of the "
                    f"scenario: {', '.join(others)}"
                )
        if abs(sum(c.energy_share for c in classes) - 1.0) > 1e-6:
            raise ValueError("energy_share of all online and deferrable classes must add up to 1")
        if abs(sum(p.capacity_share for p in self.pools.values()) - 1.0) > 1e-6:
            raise ValueError("capacity_share of all pools must add up to 1")
        for name, cls_ in self.deferrable.items():
            self._whole_steps(f"deferrable.{name}.window_h", cls_.window_h)
            self._whole_steps(f"deferrable.{name}.quantum_h", cls_.quantum_h)
            if 24 % cls_.quantum_h:
                raise ValueError(f"deferrable.{name}.quantum_h = {cls_.quantum_h:g} must divide 24")
            if not cls_.quantum_h <= cls_.window_h <= MOST_QUANTA * cls_.quantum_h:
                raise ValueError(
                    f"deferrable.{name}.window_h = {cls_.window_h:g} must be 1 to {MOST_QUANTA} times quantum_h = "
                    f"{cls_.quantum_h:g}: every deadline is a cohort of its own"
                )
        self._whole_steps("episode.length_h", self.episode.length_h)
        self._whole_steps("episode.start_every_h", self.episode.start_every_h)
        if late_h := self.observation.telemetry.late_h:
            self._whole_steps("observation.telemetry.late_h", late_h)
        return self

    def _whole_steps(self, where: str, hours: float) -> None:
        if round(hours / self.dt_h) < 1 or abs(hours / self.dt_h - round(hours / self.dt_h)) > 1e-9:
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
        message = "unknown key" + nearest(str(first["loc"][-1]), _field_names())
    given = first["input"]
    shown = f" = {given!r}" if isinstance(given, str | int | float) or not given else ""
    return f"{key}{shown}: {message}; in {where}" if key else f"{message}; in {where}"


def _field_names(base: type[Limited] = Limited) -> set[str]:
    """Every key that a schema knows, at any depth."""
    inside = (_field_names(model) for model in base.__subclasses__())
    return set(base.model_fields).union(*inside)
