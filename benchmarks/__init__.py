"""Measure each claim of boostlab against what a user would use instead, both sides in one session."""
