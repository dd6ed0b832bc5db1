"""The engine on an NVIDIA GPU: the same bytes as on a processor."""
