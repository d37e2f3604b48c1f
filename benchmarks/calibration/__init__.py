"""Simulation studies: how often comparison, gate and drift verdict err where no model is better and no column drifted."""
