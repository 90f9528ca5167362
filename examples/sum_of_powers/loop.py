"""The plain loop: one seed after the other, in this process."""

from constants import POWER, SEEDS, SIZE
from task import sum_of_powers

if __name__ == "__main__":
    print(sum(sum_of_powers(POWER, SIZE, seed) for seed in SEEDS))
