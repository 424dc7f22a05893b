"""What a scenario may say of the platform that reports what happens at the hubs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from greenhop.scenario.limits import Limited


class TelemetryConfig(Limited):
    """How late, from whom and how exactly the platform reports; by default at once, from every hub and exactly."""

    late_h: Annotated[float, Field(ge=0.0, le=48.0)] = 0.0
    """Age of what is reported, h; a whole number of steps. Before an episode is as old, its first report is shown."""
    silent: list[str] = Field(default_factory=list)
    """Sites that report nothing: they look as if they were down and empty."""
    error: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Standard deviation of what is measured, share of it; statuses are exact."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the errors."""

    @property
    def is_full(self) -> bool:
        """Whether all is reported at once and exactly."""
        return not (self.late_h or self.silent or self.error)


class ObservationConfig(Limited):
    """What agents and planners see."""

    telemetry: TelemetryConfig = TelemetryConfig()
    """What is reported of the hubs; prices, carbon, calendar and forecasts come from elsewhere and are not touched."""
