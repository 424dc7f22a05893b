"""Other people's files become series of a world pack; nothing here invents a value without counting it."""
