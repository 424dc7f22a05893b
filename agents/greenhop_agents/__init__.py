"""Everything that acts or learns on Greenhop environments."""
