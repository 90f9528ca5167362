"""The numbers of the example."""

POWER = 3
SIZE = 10
SEEDS = (1, 12, 123, 1234)
