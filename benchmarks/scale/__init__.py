"""How the work grows with the table: with its files, beyond the memory, and over several workers."""
