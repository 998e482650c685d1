"""How a run against a learnt reward is read: its peak of gold reward, what is lost then, and the law on the way."""

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.studies.followups.moving_references import gold_at
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.over_optimization import Onset, onset

REWARD = Unit("expected reward", 0.02)
NATS, SHARE = Unit("nats of KL", 0.2), Unit("share of variance", 0.02)


def at_peak(curves: xarray.Dataset, name: str) -> xarray.DataArray:
    """A curve where the gold reward first is largest."""
    ordered = curves[["gold", name]].transpose("seed", "step")
    peak = ordered["gold"].values.argmax(axis=-1)[:, None]
    found = np.take_along_axis(ordered[name].values.astype(float), peak, axis=-1)[:, 0]
    return xarray.DataArray(found, {"seed": curves["seed"]}, ("seed",))


def share_explained(gold: Float[np.ndarray, "E"], kl: Float[np.ndarray, "E"]) -> float:
    """R² of the least squares fit of d (α - β log d) to the gold reward's gain, d = √KL; 0 · log 0 is 0.

    The evaluations are thinned to those that carry the KL to a new maximum: at rest, a thousand at one place would
    outweigh the way there.

    Args:
        gold: expected gold reward at each evaluation, the first one before training.
        kl: KL(policy ‖ reference), nats.
    """
    d = np.sqrt(np.maximum(kl, 0.0))
    farther = np.append(True, d[1:] > np.maximum.accumulate(d)[:-1])
    d, gain = d[farther], (gold - gold[0])[farther]
    features = np.stack([d, d * np.log(np.where(d > 0, d, 1.0))], axis=-1)
    rest = gain - features @ np.linalg.lstsq(features, gain, rcond=None)[0]
    return float(1 - (rest**2).sum() / ((gain - gain.mean()) ** 2).sum())


def _explained(curves: xarray.Dataset) -> xarray.DataArray:
    ordered = curves[["gold", "kl"]].transpose("seed", "step")
    runs = zip(ordered["gold"].values.astype(float), ordered["kl"].values.astype(float), strict=True)
    return xarray.DataArray([share_explained(*run) for run in runs], {"seed": curves["seed"]}, ("seed",))


PEAK = Measure("peak", lambda d: at_peak(d, "gold"), "largest expected gold reward on the way", REWARD)
KL_AT_PEAK = Measure("KL at the peak", lambda d: at_peak(d, "kl"), "KL to the reference at that peak", NATS)
LOST = Measure(
    "lost", lambda d: at_peak(d, "gold") - d["gold"].isel(step=-1), "gold reward lost from its peak to the end", REWARD
)
GAINED = Measure(
    "gained",
    lambda d: d["proxy"].isel(step=-1) - at_peak(d, "proxy"),
    "learnt reward gained from the gold reward's peak to the end",
    REWARD,
)
EXPLAINED = Measure("explained", _explained, "share of the gold reward's variance that d (α - β log d) explains", SHARE)


def gold_at_kl(budget: float) -> Measure:
    """Gold reward where a run first is so many nats from the reference; at its end, if it never is."""
    words = f"expected gold reward where the KL is {budget:g} nats"
    return Measure(f"gold at {budget:g} nats", lambda d: gold_at(d, budget), words, REWARD)


def proxy_at_kl(budget: float) -> Measure:
    """Learnt reward there."""
    words = f"expected learnt reward where the KL is {budget:g} nats"
    proxied = lambda d: gold_at(d[["kl"]].assign(gold=d["proxy"]), budget)
    return Measure(f"proxy at {budget:g} nats", proxied, words, REWARD)


def onsets(curves: xarray.Dataset) -> Onset | None:
    """Where each run begins to over-optimise; None where no learnt reward stands beside the gold one."""
    if "proxy" not in curves:
        return None
    ordered = curves[["gold", "proxy", "kl"]].transpose("seed", "step")
    gold, proxy, kl = (ordered[name].values.astype(float) for name in ("gold", "proxy", "kl"))
    return onset(gold, proxy, kl)
