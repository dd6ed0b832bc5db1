"""A run on an emulated cloud beside one on this machine, to compare them."""
