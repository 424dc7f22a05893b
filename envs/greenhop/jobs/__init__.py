"""Single jobs: tables of them, and the dispatcher that carries out a plan with whole jobs; what a plan costs is
physics, and what a trace file looks like is importers.
"""
