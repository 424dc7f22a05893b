"""The exogenous world: generators, world years, forecasts and the bank that holds them."""
