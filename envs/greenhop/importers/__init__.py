"""Reading the user's own series: one file per source layout, each to a tidy hourly table, all to a world pack."""
