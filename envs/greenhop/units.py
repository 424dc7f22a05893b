"""Conversion factors, each named after what it turns into what."""

HOURS_PER_YEAR = 8760
HOURS_PER_MONTH = HOURS_PER_YEAR / 12
MWH_PER_KWH = 1e-3
CNY_PER_MWH_PER_CNY_PER_KWH = 1e3  # 1 CNY/kWh = 1000 CNY/MWh
CNY_PER_MW_PER_CNY_PER_KW = 1e3
KG_PER_MWH_PER_KG_PER_KWH = 1e3
KG_PER_T = 1e3
GB_PER_HOUR_PER_GBPS = 3600 / 8  # gigabit per second → gigabyte per hour
EARTH_RADIUS_KM = 6371.0
