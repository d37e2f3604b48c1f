"""Time sweeps."""
