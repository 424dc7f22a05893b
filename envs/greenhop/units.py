"""Conversion factors, each named after what it turns into what."""

HOURS_PER_YEAR = 8760
HOURS_PER_MONTH = HOURS_PER_YEAR / 12
KG_PER_T = 1e3
GB_PER_HOUR_PER_GBPS = 3600 / 8  # gigabit per second → gigabyte per hour
EARTH_RADIUS_KM = 6371.0
