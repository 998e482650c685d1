"""The measures that claims about language models are made of."""

from collections.abc import Callable

import xarray

from modeseek.bandit.simulator.summary import final_values, mean_over_run
from modeseek.bandit.studies.measures import Measure, Unit

CURVES = {
    "expected_reward": ("gold reward", "1"),
    "proxy_reward": ("proxy reward", "1"),
    "tokens": ("length of responses, EOS not counted", "tokens"),
    "share_eos": ("share of responses that EOS ended", "fraction"),
    "entropy": ("entropy of the policy", "nats per token"),
    "kl_to_reference": ("KL(policy ‖ reference)", "nats per response"),
    "kl_from_behavior": ("highest KL(behavior ‖ policy) since the point before", "nats per response"),
    "chosen_implicit_reward": ("log policy - log reference, preferred held-out responses", "nats"),
    "rejected_implicit_reward": ("log policy - log reference, dispreferred held-out responses", "nats"),
    "seconds": ("seconds of generation, scoring and updates so far, a collection counted as the median one", "s"),
}
"""What is kept of a run: variable → long name and unit. Gold and proxy rewards are of samples on held-out prompts."""

TOKENS = Unit("tokens", 1.0)
"""Lengths, and the rewards that are lengths: one token of the sixteen that the reference writes matters no more."""
PLAINNESS = Unit("nats a token", 0.1)
"""Log-frequencies of tokens."""
PROXY = Unit("proxy reward", 0.2)
"""Nats of the Bradley-Terry model."""
NATS = Unit("nats", 1.0)
SECONDS = Unit("seconds", 0.2)
"""Of runs that take two or three."""

SHORT_TOKENS = 4.0
"""Responses are short below it, a quarter of what the reference writes."""


def _final(name: str) -> Callable[[xarray.Dataset], xarray.DataArray]:
    return lambda curves: final_values(curves[[name]])[name]


def _mean(name: str) -> Callable[[xarray.Dataset], xarray.DataArray]:
    return lambda curves: mean_over_run(curves[name])


def _final_margin(curves: xarray.Dataset) -> xarray.DataArray:
    names = ["chosen_implicit_reward", "rejected_implicit_reward"]
    ends = final_values(curves[names])
    return ends[names[0]] - ends[names[1]]


def _seconds_to_short(curves: xarray.Dataset) -> xarray.DataArray:
    """Where a curve passes the line between two measurements, the straight line's time."""
    length, spent = curves["tokens"], curves["seconds"]
    before, after = {"step": slice(None, -1)}, {"step": slice(1, None)}
    first, second = length.isel(before).drop_vars("step"), length.isel(after).drop_vars("step")
    since, until = spent.isel(before).drop_vars("step"), spent.isel(after).drop_vars("step")
    share = ((first - SHORT_TOKENS) / (first - second)).where((first > SHORT_TOKENS) & (second <= SHORT_TOKENS))
    never = spent.isel(step=-1, drop=True)
    return (since + share * (until - since)).min("step").fillna(never).where(never.notnull())


FINAL_GOLD = Measure("final_gold", _final("expected_reward"), "gold reward at the end, tokens", TOKENS)
MEAN_GOLD = Measure(
    "mean_gold", _mean("expected_reward"), "gold reward, mean over gradient steps: higher is faster", TOKENS
)
FINAL_PLAIN = Measure("final_plain", _final("expected_reward"), "gold reward at the end, nats a token", PLAINNESS)
MEAN_PLAIN = Measure(
    "mean_plain", _mean("expected_reward"), "gold reward, mean over gradient steps, nats a token", PLAINNESS
)
FINAL_LENGTH = Measure("final_length", _final("tokens"), "length of responses at the end", TOKENS)
MEAN_PROXY = Measure("mean_proxy", _mean("proxy_reward"), "proxy reward, mean over gradient steps", PROXY)
FINAL_KL = Measure("final_kl", _final("kl_to_reference"), "KL(policy ‖ reference) at the end", NATS)
CHOSEN = Measure("chosen", _final("chosen_implicit_reward"), "implicit reward of preferred responses at the end", NATS)
REJECTED = Measure(
    "rejected", _final("rejected_implicit_reward"), "implicit reward of dispreferred responses at the end", NATS
)
SECONDS_TO_SHORT = Measure(
    "seconds_to_short",
    _seconds_to_short,
    f"seconds of training until responses have {SHORT_TOKENS:g} tokens, or the whole run's",
    SECONDS,
)
MARGIN = Measure("margin", _final_margin, "implicit reward of preferred less dispreferred responses, end", NATS)

MEASURES = (
    FINAL_GOLD,
    MEAN_GOLD,
    FINAL_PLAIN,
    MEAN_PLAIN,
    FINAL_LENGTH,
    MEAN_PROXY,
    FINAL_KL,
    CHOSEN,
    REJECTED,
    MARGIN,
    SECONDS_TO_SHORT,
)
"""What is kept of every rate of the grid."""
