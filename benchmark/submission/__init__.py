"""Results from outside: packed, read within limits, scored again, trained again."""
