"""The work: what the loop calls, and what the worker calls in its container."""

import numpy as np


def sum_of_powers(power: int, size: int, seed: int) -> float:
    """Draw `size` numbers from 0 to 1, raise each to `power` and add them up."""
    # RandomState gives the same draws in every version of numpy (its NEP 19).
    draws = np.random.RandomState(seed).uniform(size=size)
    # The sum of Python adds from left to right; that of numpy may add in another order.
    return float(sum(np.power(draws, power)))
