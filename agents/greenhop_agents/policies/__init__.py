"""Everything that decides: rules, planners, networks behind one protocol; how a network came about is the learners'
work."""
