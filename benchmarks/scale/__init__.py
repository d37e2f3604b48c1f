"""Measure tables that do not fit into memory."""
