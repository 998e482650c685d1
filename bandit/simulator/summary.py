"""From curves to numbers: the end of each run, means and standard errors over seeds, the best learning rate."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment


def final_values(dataset: xarray.Dataset, share: float = 0.1) -> xarray.Dataset:
    """Each run's mean over the last `share` of its measurements (at least one): less noisy than the last alone."""
    tail = dataset.isel(step=_last(dataset.sizes["step"], share))
    names = [name for name in dataset.data_vars if "step" in dataset[name].dims]
    return tail[names].mean("step", skipna=False)


def final_value(curves: xarray.DataArray, share: float = 0.1) -> xarray.DataArray:
    """What `final_values` gives, of one variable and in NumPy: judging a figure's claims takes dozens.

    Args:
        curves: `[..., step]` in any order of axes.
        share: of the measurements.

    Returns:
        the other axes; NaN where one of the last is.
    """
    axis = curves.get_axis_num("step")
    tail = np.moveaxis(curves.values, axis, -1)[..., _last(curves.sizes["step"], share)]
    return curves.isel(step=0, drop=True).copy(data=tail.mean(-1))


def _last(steps: int, share: float) -> slice:
    return slice(steps - max(1, round(share * steps)), None)


def mean_over_run(curves: xarray.DataArray) -> xarray.DataArray:
    """Mean over gradient steps, of straight lines between measurements: how fast a run that ends high got there.

    The mean of the measurements themselves would count the start for more where there are fewer of them.

    Args:
        curves: any dimensions, among them `step`, with gradient steps as its coordinate, growing.

    Returns:
        the other dimensions, in the unit of the curves; NaN where a run has one (it diverged).
    """
    values, axis = curves.values, curves.get_axis_num("step")
    if values.shape[axis] == 1:
        return curves.isel(step=0, drop=True)
    steps = curves["step"].values.astype(np.float64)
    area = np.trapezoid(values, steps, axis=axis)
    return curves.isel(step=0, drop=True).copy(data=area / (steps[-1] - steps[0]))


def over_seeds(values: xarray.DataArray) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Mean and standard error of the mean (divisor S-1; NaN for one seed) over the finite seeds."""
    # In NumPy: the same in xarray's own terms takes 30 times longer, and a figure has dozens of curves.
    data, axis = values.values, values.get_axis_num("seed")
    there = ~np.isnan(data)
    count = there.sum(axis).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # one seed, or none
        mean = np.where(there, data, 0).sum(axis) / np.where(count > 0, count, np.nan)
        squares = np.where(there, (data - np.expand_dims(mean, axis)) ** 2, 0).sum(axis)
        error = np.sqrt(squares / np.where(count > 1, count - 1, np.nan) / count)
    like = values.isel(seed=0, drop=True)
    return like.copy(data=mean), like.copy(data=error)


def choose_learning_rate(dataset: xarray.Dataset, tie: float = 0.0) -> xarray.Dataset:
    """Keep, for each method, reward and other hyper-parameter, the learning rate that ends highest. Paper I.3.

    "Ends highest": the mean over seeds of `final_values` of the expected reward. Of those within `tie` of the highest
    the fastest (`mean_over_run`), since at the ceiling the best of ten noisy ends is anyone; of equal
    ones the smallest. Only rates at which the most seeds are finite compete: one at which a seed diverged is chosen
    only if all rates lose one.

    Args:
        dataset: with dimensions `seed`, `step` and, if there is a grid, `learning_rate`.
        tie: in units of reward.

    Returns:
        the dataset without the dimension `learning_rate`, which becomes a coordinate of the remaining axes.
    """
    if "learning_rate" not in dataset.dims:
        return dataset
    dataset = dataset.sortby("learning_rate")  # so that the first of equal ones is the smallest
    ends = final_values(dataset)["expected_reward"]
    finite = ends.notnull().sum("seed")
    # Rates with the most finite seeds come first: all of them, wherever there is such a rate.
    mean = ends.mean("seed").where(finite == finite.max("learning_rate"))
    speed = mean_over_run(dataset["expected_reward"]).mean("seed")
    tied = mean >= mean.max("learning_rate") - tie
    return dataset.isel(learning_rate=speed.where(tied).fillna(-np.inf).argmax("learning_rate"))


def learning_rate_on_edge(dataset: xarray.Dataset) -> list[str]:
    """Cells whose best learning rate is the smallest or largest of the grid: the grid may be too narrow for them."""
    if dataset.sizes.get("learning_rate", 1) < 3:
        return []
    grid = dataset["learning_rate"].values
    chosen = choose_learning_rate(dataset)["learning_rate"]
    named = chosen.to_series()
    return [
        f"{'/'.join(map(str, index if isinstance(index, tuple) else (index,)))}: {rate:g}"
        for index, rate in named.items()
        if rate in (grid.min(), grid.max())
    ]


def diverged_runs(dataset: xarray.Dataset) -> list[str]:
    """One line for each run that met a loss or gradient that was not finite: what it was and when."""
    diverged = dataset["diverged_at"]
    lines = []
    for index in np.argwhere(diverged.values >= 0):
        cell = diverged[tuple(index)]
        labels = {d: cell[d].item() for d in diverged.dims} | {"learning_rate": float(cell["learning_rate"])}
        lines.append(f"diverged at gradient step {cell.item()}: {_named(labels)}")
    return lines


def idle_runs(dataset: xarray.Dataset, experiment: Experiment) -> list[str]:
    """One line for each cell of the grid with runs whose loss had no weight: the gradient was 0 wherever it was taken.

    Args:
        dataset: of the experiment.
        experiment: which may say why.
    """
    norms = dataset["gradient_norm"]
    # At step 0 nothing was trained yet; after a divergence there is no gradient.
    measured = norms.notnull().any("step")
    idle = ((norms == 0) | norms.isnull()).all("step") & measured & (dataset["diverged_at"] < 0)
    lines = []
    over_runs = idle.transpose(..., "seed")
    for index in np.ndindex(*over_runs.shape[:-1]):
        cell = over_runs[index]
        seeds = cell["seed"].values[cell.values]
        if seeds.size:
            labels = {d: cell[d].item() for d in over_runs.dims[:-1]} | {"learning_rate": float(cell["learning_rate"])}
            which = f"{_named(labels)}, seed{'s' if seeds.size > 1 else ''} {', '.join(map(str, seeds[:10]))}"
            which += ", …" if seeds.size > 10 else ""
            why = _why_idle(variant(str(cell["algorithm"].item())).method, experiment, labels)
            lines.append(f"nothing was learnt, the gradient was 0 at every step: {which}{f' ({why})' if why else ''}")
    return lines


def _why_idle(method: Method, experiment: Experiment, labels: Mapping[Hashable, Any]) -> str:
    """What of a configuration leaves this method's loss no weight, where it is plain."""
    of_one = experiment.algorithm.responses_per_prompt == 1
    if of_one and experiment.conventions.standardization_of(method) == "per_prompt" and "advantages" in method.needs:
        return "standardised per prompt, the advantage of a single response is 0"
    gap = labels.get("reward_gap", experiment.hyper.reward_gap)
    if "pairs" in method.needs and gap:
        return f"no two responses to a prompt differ by reward_gap = {gap:g} or more"
    return ""


def _named(labels: Mapping[Hashable, Any]) -> str:
    return ", ".join(f"{name}={_label(value)}" for name, value in labels.items())


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(dataset: xarray.Dataset) -> str:
    """Final expected reward and KL(policy ‖ reference), mean ± standard error over seeds, a line per cell."""
    finals = final_values(dataset)
    reward, reward_error = over_seeds(finals["expected_reward"])
    kl, kl_error = over_seeds(finals["kl_to_reference"])
    finite, seeds = finals["expected_reward"].notnull().sum("seed"), finals.sizes["seed"]
    rows = [("method", "reward fn", *_other_axes(reward), "learning rate", "E[reward]", "KL(policy ‖ ref), nats")]
    for index in np.ndindex(*reward.shape):
        cell = reward[index]
        rate = cell.coords["learning_rate"].item()
        rows.append(
            (
                variant(str(cell["algorithm"].item())).title,
                str(cell["reward"].item()),
                *(_label(cell[name].item()) for name in _other_axes(reward)),
                f"{rate:g}",
                _plus_minus(cell.item(), reward_error[index].item(), 3) + _missing(int(finite[index]), seeds),
                _plus_minus(kl[index].item(), kl_error[index].item(), 1),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _other_axes(values: xarray.DataArray) -> list[str]:
    return [str(d) for d in values.dims if d not in ("algorithm", "reward", "learning_rate")]


def _missing(finite: int, seeds: int) -> str:
    """Says so where diverged or unfinished seeds are not in the mean."""
    return "" if finite == seeds else f" ({finite} of {seeds} seeds)"


def _plus_minus(mean: float, error: float, digits: int) -> str:
    if not np.isfinite(mean):
        return "—"
    shown = f"{round(mean, digits) + 0.0:.{digits}f}"  # and not -0.0, of a rounding error below zero
    return shown if not np.isfinite(error) else f"{shown} ± {error:.{digits}f}"
