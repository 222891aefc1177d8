"""A crop's yield on a site by dose of fertiliser: the functions of nested.toml."""
import random
import statistics


def crunch(site, dose, repeat, seed):
    """One noisy yield; too much fertiliser is as bad as too little."""
    noise = random.Random(seed).gauss(0, 0.1)
    return site["fertility"] * dose * site["rain"] - dose**2 / 4 + noise


def typical(runs):
    """The median over sites of the best mean yield, and the range it lies in."""
    yields = [run["score"] for run in runs]
    return {"score": statistics.median(yields), "lowest": min(yields), "highest": max(yields)}
