"""The workflow: a sweep over a support vector machine's two parameters, on handwritten digits.

Nothing here knows where it runs: `executor="awsbatch"` takes everything from `[executors.awsbatch]` in
Covalent's configuration, a local AWS Batch's or your account's. `python -m demo.sweep` dispatches it to the
Covalent server that you have.
"""

from __future__ import annotations

from typing import Any

import covalent as ct

COSTS = (0.1, 1.0, 10.0, 100.0)
GAMMAS = (0.0001, 0.001, 0.01)


@ct.electron(executor="awsbatch")
def load() -> dict[str, Any]:
    """Return the digits, split into 60 % to train on, 20 % to choose by and 20 % held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    rest, held_out, rest_digits, held_out_digits = train_test_split(
        images, digits, test_size=0.2, random_state=0, stratify=digits
    )
    train, choose, train_digits, choose_digits = train_test_split(
        rest, rest_digits, test_size=0.25, random_state=0, stratify=rest_digits
    )
    return {
        "train": (train, train_digits),
        "choose": (choose, choose_digits),
        "held out": (held_out, held_out_digits),
    }


@ct.electron(executor="awsbatch")
def train(data: dict[str, Any], cost: float, gamma: float) -> dict[str, Any]:
    """Return a model with these parameters and the share of the second part that it reads rightly."""
    from sklearn.svm import SVC

    model = SVC(C=cost, gamma=gamma).fit(*data["train"])
    accuracy = float(model.score(*data["choose"]))
    print(f"cost {cost}, gamma {gamma}: accuracy {accuracy:.4f}")
    return {"cost": cost, "gamma": gamma, "accuracy": accuracy, "model": model}


@ct.electron(executor="awsbatch")
def pick_best(candidates: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the candidate with the highest accuracy, the simpler one where two are equal."""
    return max(candidates, key=lambda each: (each["accuracy"], -each["cost"]))


@ct.electron(executor="awsbatch")
def score(best: dict[str, Any], data: dict[str, Any]) -> float:
    """Return the share of the held-out digits that the chosen model reads rightly."""
    return float(best["model"].score(*data["held out"]))


@ct.electron(executor="awsbatch")
def report(candidates: list[dict[str, Any]], best: dict[str, Any], accuracy: float) -> dict[str, Any]:
    """Return what a person wants to see, without the models."""
    names = ("cost", "gamma", "accuracy")
    return {
        "candidates": [{name: each[name] for name in names} for each in candidates],
        "best": {name: best[name] for name in names},
        "held-out accuracy": accuracy,
    }


@ct.lattice(executor="local", workflow_executor="local")
def sweep(costs: tuple[float, ...] = COSTS, gammas: tuple[float, ...] = GAMMAS) -> dict[str, Any]:
    """Train one model for each pair of parameters, choose the best and score it on unseen digits."""
    data = load()
    candidates = [train(data, cost, gamma) for cost in costs for gamma in gammas]
    best = pick_best(candidates)
    return report(candidates, best, score(best, data))


if __name__ == "__main__":
    from rich.console import Console

    from demo import show

    outcome = ct.get_result(ct.dispatch(sweep)(), wait=True)
    show.report(Console(), outcome)
