"""What nobody decides: weather, demand, prices, events and what is forecast of them; how a plan plays out is not
here."""
