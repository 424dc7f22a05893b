"""What nobody decides: weather, demand, prices, events and what is forecast of them; how a plan plays out is not
here."""

# the code and tables that a year of the world rests on
MADE_BY = (
    *(
        "world",
        "data",
        "units.py",
        "scenario/fibre.py",
        "scenario/geo.py",
        "scenario/sites.py",
        "scenario/tables.py",
        "scenario/users.py",
    ),
    "scenario/join.py",
    "physics/dynamics/deadlines.py",
)
