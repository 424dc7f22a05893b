"""Questions asked of the environment once in a while: calibration, margins, tuning."""
