"""A run on an emulated cloud, compared with the same run on this machine."""
