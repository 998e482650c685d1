"""The papers' formulas of policy gradients after PPO and of games, with plain loops; one method for each method."""

import numpy as np
from method_cases import HYPER


class PolicyGradientFormulas:
    """Log-probs of responses and of tokens, rewards and advantages are the heir's."""

    def topr(self):
        """Its gradient is a good response's r̄ and a bad one's min(ρ, 1) r̄; so is this loss's."""
        log_ratio = self.log_probs - self.behavior
        tapered = np.where(log_ratio < 0, np.exp(log_ratio), 1 + log_ratio)
        return np.mean(-self.advantages * np.where(self.advantages < 0, tapered, self.log_probs))

    def _centered(self):
        return self.rewards - self.rewards.mean(axis=1, keepdims=True)

    def _standardized(self):
        return self._centered() / np.sqrt((self._centered() ** 2).mean(axis=1, keepdims=True))

    def _clipped(self, advantages, above=None):
        """Losses of tokens under PPO's clip."""
        ratio = np.exp(self.token_log_probs - self.behavior_tokens)
        clipped = np.clip(ratio, 1 - HYPER.clip_epsilon, 1 + (above or HYPER.clip_epsilon))
        spread = advantages[..., None]
        return -np.minimum(ratio * spread, clipped * spread)

    def grpo(self):
        away = self.reference_tokens - self.token_log_probs
        kl = np.exp(away) - away - 1
        return (self._clipped(self._standardized()) + HYPER.kl_coefficient * kl).mean(axis=2).mean()

    def dr_grpo(self):
        return self._clipped(self._centered()).sum(axis=2).mean()

    def dapo(self):
        """Every response has as many tokens and no group is equal: the mean of a prompt's tokens is that of all."""
        return self._clipped(self._standardized(), HYPER.clip_epsilon_high).mean()

    def gspo(self):
        ratio = np.exp((self.token_log_probs - self.behavior_tokens).mean(axis=2))
        clipped = np.clip(ratio, 1 - HYPER.clip_epsilon, 1 + HYPER.clip_epsilon)
        return np.mean(-np.minimum(ratio * self._standardized(), clipped * self._standardized()))

    def rloo(self):
        n = self.rewards.shape[1]
        advantage = [[r[i] - np.delete(r, i).mean() for i in range(n)] for r in self.rewards]
        return np.mean(-np.asarray(advantage) * self.log_probs)

    def _win_rates(self, itself):
        """The share of a prompt's responses that each beats; itself, at a half, among them or not."""
        n = self.rewards.shape[1]
        others = lambda i: range(n) if itself else [j for j in range(n) if j != i]
        half = lambda a, b: 0.5 if a == b else float(a > b)
        return np.array([[np.mean([half(r[i], r[j]) for j in others(i)]) for i in range(n)] for r in self.rewards])

    def sppo(self):
        target = HYPER.eta * (self._win_rates(itself=True) - 0.5)
        return np.mean((self.log_probs - self.behavior - target) ** 2)

    def nash_md(self):
        """Its gradient in log π is -(P - ½ - β log π/π_ref); so is this loss's."""
        away = self.log_probs - self.reference
        won = (self._win_rates(itself=False) - 0.5) * self.log_probs
        return np.mean(-won + HYPER.kl_coefficient / 2 * away**2)

    def ipo_md(self):
        return self.ipo()
