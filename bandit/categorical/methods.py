"""The methods of the paper as exact flows on the simplex: the mean of the gradient that their samples estimate.

One prompt, K responses, data from μ: the policy itself (on-policy; a constant of differentiation, as samples are) or
`Problem.log_behavior` (off-policy). Preference labels follow Bradley and Terry: P(i ≻ j) = σ(r_i - r_j).

Where each comes to rest, from a start at the reference (tested):

| method | off-policy | on-policy |
|---|---|---|
| RL (REINFORCE + β KL) | runs away to argmax μ (A - E_μ A) | the target π* ∝ π_ref exp(r/β): Lemma E.1 |
| PPO | every ratio p/μ past its clip: 1 + ε where A > 0, if there is room, 1 - ε where A < 0 | as RL: ratios are 1 |
| RWR | ∝ μ exp(r/β), which is π* if μ = π_ref: Lemma E.3 | a best response: every policy gradient's vertex |
| Best-of-N | the best of N draws from μ | a best response |
| Best-of-N + negative gradient | as Best-of-N if that leaves no worse response above its threshold | a best response |
| DPO | π* on the support of μ, whatever μ | π* |
| IPO | ∝ π_ref exp(E_μ[P(y ≻ ·)]/τ) on the support of μ | the same with μ = p |
"""

from collections.abc import Callable
from typing import Any

from modeseek.bandit.categorical.divergences import Field, centered, everywhere, support_of
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import LOG_ZERO, CategoricalPolicy, Vector, finite, namespace, policy, total

Data = Callable[[CategoricalPolicy], CategoricalPolicy]
"""From the current policy to the distribution that the data comes from."""


def on_policy(problem: Problem) -> Data:
    """Data from the policy that is being trained."""
    return lambda current: current


def off_policy(problem: Problem) -> Data:
    """Data from `Problem.log_behavior`, for ever."""
    log_mu = finite(problem.log_behavior)
    behavior = CategoricalPolicy(log_mu, namespace(log_mu).exp(log_mu))
    return lambda current: behavior


def prepared(data: Data, prepare: Callable[[CategoricalPolicy], Any]) -> Callable[[CategoricalPolicy], Any]:
    """`prepare` of the data that a policy is trained on: done once for all steps if no policy has a part in it."""
    nobody: Any = None
    fixed = data(nobody)
    if fixed is None:
        return lambda current: prepare(data(current))
    ready = prepare(fixed)
    return lambda current: ready


def reinforce(problem: Problem, data: Data) -> Field:
    """-E_μ[A log p], A = r - β log(μ/π_ref) less its mean: the policy gradient of eq. 6 when μ = p.

    ∂/∂f = -μ (A - E_μ A). On-policy that is β times reverse KL's gradient to π* (Lemma E.1; eq. 6 prints the wrong
    sign of the KL). Off-policy without importance weights it is constant, so nothing ever stops it.
    """
    log_reference = finite(problem.log_reference)
    beta, rewards = problem.beta, problem.rewards

    def gradient(current: CategoricalPolicy) -> Vector:
        mu = data(current)
        return -centered(mu, rewards - beta * (mu.log_probs - log_reference))

    return Field(gradient, support_of(log_reference))


def ppo_weights(problem: Problem, mu: CategoricalPolicy, current: CategoricalPolicy) -> Vector:
    """w_j = -∂L/∂log p_j of PPO's surrogate, -E_μ[min(ρ A, clip(ρ, 1-ε, 1+ε) A)]: p_j A_j, and 0 past the clip. I.2.4.

    ρ = p/μ, and A as in `reinforce`, constants; `Problem.clip_epsilon` is ε. Nothing is drawn where μ = 0.
    """
    xp = namespace(current.log_probs)
    gain = problem.rewards - problem.beta * (mu.log_probs - finite(problem.log_reference))
    drawn = mu.log_probs > LOG_ZERO / 2
    advantages = xp.where(drawn, gain - total(mu.probs * gain, keepdims=True), 0.0)
    log_ratios = current.log_probs - mu.log_probs
    above, below = xp.log1p(problem.clip_epsilon), xp.log(xp.maximum(1.0 - problem.clip_epsilon, 1e-37))
    free = xp.where(advantages >= 0, log_ratios < above, log_ratios > below)
    return xp.where(free, current.probs * advantages, 0.0)


def ppo(problem: Problem, data: Data) -> Field:
    """`reinforce` that may reuse its samples: μ is a policy of some steps ago, and what has moved far enough rests."""
    support = support_of(finite(problem.log_reference))

    def gradient(current: CategoricalPolicy) -> Vector:
        pulled = ppo_weights(problem, data(current), current)
        return current.probs * total(pulled, keepdims=True) - pulled

    return Field(gradient, support)


def rwr(problem: Problem, data: Data) -> Field:
    """Reward-weighted regression, -E_μ[F log p] with F = exp(r/β)/E_μ[exp(r/β)]: forward KL to μF. Lemma E.3, I.2.5."""
    scaled = problem.rewards / problem.beta

    def gradient(current: CategoricalPolicy) -> Vector:
        return current.probs - policy(data(current).log_probs + scaled).probs

    return Field(gradient, everywhere(problem.rewards))


def best_of_n_distribution(log_mu: Vector, rewards: Vector, draws: Any) -> Vector:
    """Log of the distribution of the best of N independent draws from μ, the first drawn among equal rewards.

    P(best = j) = μ_j/μ(r = r_j) [μ(r ≤ r_j)^N - μ(r < r_j)^N]: the order statistic, exact, in logarithms, so that a
    mass of 1e-300 keeps its digits. N may be any positive number.

    Args:
        log_mu: log μ, `[*B, K]`, finite (`LOG_ZERO` for none).
        rewards: r, `[K]`.
        draws: N.
    """
    xp = namespace(log_mu)
    worse = rewards[..., None, :] < rewards[..., :, None]
    equal = rewards[..., None, :] == rewards[..., :, None]
    log_below = _log_mass(log_mu, worse)
    log_class = _log_mass(log_mu, equal)
    # x = N log(μ(≤)/μ(<)); then μ(≤)^N - μ(<)^N = μ(≤)^N (1 - e^-x), without cancellation for tiny classes.
    log_ratio = draws * xp.logaddexp(log_class - log_below, 0.0 * log_below)
    # The same x by log1p where it is smaller than logaddexp resolves, and just the class's share there.
    tiny = log_class - log_below < -30.0
    share = xp.where(tiny, 1.0, -xp.expm1(-xp.where(tiny, 1.0, log_ratio)))
    log_share = xp.where(tiny, xp.log(draws) + log_class - log_below, xp.log(share))
    log_best = draws * xp.logaddexp(log_class, log_below) + log_share
    return policy(xp.maximum(log_mu - log_class + log_best, LOG_ZERO)).log_probs


def _log_mass(log_mu: Vector, members: Vector) -> Vector:
    """Log of the mass of each row's members, `LOG_ZERO` for an empty row."""
    xp = namespace(log_mu)
    rows = xp.where(members, log_mu[..., None, :], LOG_ZERO)
    top = rows.max(-1, keepdims=True)
    total = xp.exp(rows - top).sum(-1)
    return xp.where(top[..., 0] > LOG_ZERO / 2, top[..., 0] + xp.log(total), LOG_ZERO)


def best_of_n(problem: Problem, data: Data) -> Field:
    """Maximum likelihood on the best of N draws: forward KL to their distribution. I.2.1."""
    xp = namespace(problem.rewards)
    best = prepared(data, lambda mu: xp.exp(best_of_n_distribution(mu.log_probs, problem.rewards, problem.draws)))

    def gradient(current: CategoricalPolicy) -> Vector:
        return current.probs - best(current)

    return Field(gradient, everywhere(problem.rewards))


def best_of_n_negative(problem: Problem, data: Data) -> Field:
    """Best-of-N that also pushes down the worse draws: -log p_b + β Σ_j 1[r_j < r_b, p_j/p_b > θ] log p_j. I.2.1.

    A given draw is j and the best of the others is b > j with probability μ_j B(b), B of N - 1 draws; so N μ_j B(b)
    draws of j are pushed by b. β and θ are `Problem.negative_weight` and `negative_threshold`.
    """
    xp = namespace(problem.rewards)
    likelihood = best_of_n(problem, data)
    worse = problem.rewards[..., :, None] > problem.rewards[..., None, :]
    log_threshold = xp.log(problem.negative_threshold)

    def together(mu: CategoricalPolicy) -> Vector:
        """β N μ_j B(b) for b better than j, `[*B, b, j]`."""
        others = problem.draws - 1.0
        some = xp.where(others > 0, others, 1.0)
        best = xp.where(others > 0, xp.exp(best_of_n_distribution(mu.log_probs, problem.rewards, some)), 0.0)
        drawn = problem.negative_weight * problem.draws * mu.probs
        return xp.where(worse, best[..., :, None] * drawn[..., None, :], 0.0)

    pairs = prepared(data, together)

    def gradient(current: CategoricalPolicy) -> Vector:
        log_ratio = current.log_probs[..., None, :] - current.log_probs[..., :, None]
        pushed = xp.where(log_ratio > log_threshold, pairs(current), 0.0).sum(-2)
        return likelihood.gradient(current) + pushed - current.probs * pushed.sum(-1, keepdims=True)

    return Field(gradient, everywhere(problem.rewards))


def preference_probabilities(rewards: Vector) -> Vector:
    """P(i ≻ j) = σ(r_i - r_j), `[K, K]` (Bradley and Terry)."""
    return _sigmoid(rewards[..., :, None] - rewards[..., None, :])


def _sigmoid(x: Vector) -> Vector:
    return 0.5 + 0.5 * namespace(x).tanh(0.5 * x)


def _contrastive(problem: Problem, data: Data, coefficient: Callable[[Vector], Vector]) -> Field:
    """Both contrastive losses: Σ μ_w μ_l P(w ≻ l) -c(m) (∇ log p_w - ∇ log p_l), c the slope of -ℓ at the margin.

    That is half the mean over labelled pairs, in which w was drawn first or second, and so half as fast a flow. The
    normaliser cancels in the margin: response i gets -Σ_j [μ_i μ_j P_ij c(m_ij) - μ_j μ_i P_ji c(m_ji)].
    """
    log_reference = finite(problem.log_reference)
    preferred = preference_probabilities(problem.rewards)

    def gradient(current: CategoricalPolicy) -> Vector:
        mu = data(current).probs
        log_ratio = current.log_probs - log_reference
        margins = log_ratio[..., :, None] - log_ratio[..., None, :]
        drawn = mu[..., :, None] * mu[..., None, :] * preferred
        pull = drawn * coefficient(margins)
        return pull.sum(-2) - pull.sum(-1)

    return Field(gradient, support_of(log_reference))


def dpo(problem: Problem, data: Data) -> Field:
    """DPO, eq. 3: c = β σ(-β m). At rest β m_ij = r_i - r_j for every pair that the data holds: π*."""
    return _contrastive(problem, data, lambda margins: problem.beta * _sigmoid(-problem.beta * margins))


def ipo(problem: Problem, data: Data) -> Field:
    """IPO, eq. 20: c = -2 (m - 1/(2τ)), negative (against Lemma E.2's condition) once m has passed its target."""
    return _contrastive(problem, data, lambda margins: 1.0 / problem.tau - 2.0 * margins)


_METHODS = {
    "reinforce": reinforce,
    "ppo": ppo,
    "rwr": rwr,
    "best_of_n": best_of_n,
    "best_of_n_negative": best_of_n_negative,
    "dpo": dpo,
    "ipo": ipo,
}

METHODS: dict[str, Callable[[Problem], Field]] = {
    f"{side}_{name}": (lambda problem, method=method, source=source: method(problem, source(problem)))
    for name, method in _METHODS.items()
    for side, source in (("on_policy", on_policy), ("offline", off_policy))
}
"""`on_policy_dpo`, `offline_dpo`, … → factory."""
