"""Write configs/scenario/city57.yaml from the table of cities: python scripts/make_city57.py"""

from __future__ import annotations

from argparse import ArgumentParser


def main() -> None:
    """Write the file."""
    ArgumentParser(description=__doc__).parse_args()
    from greenhop.scenario.find import config_dir
    from greenhop.world.cities import city57_yaml

    (config_dir() / "scenario" / "city57.yaml").write_text(city57_yaml(), encoding="utf-8")


if __name__ == "__main__":
    main()
