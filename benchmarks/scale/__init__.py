"""How reading a table grows: with the number of its files."""
