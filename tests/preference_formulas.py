"""Formulas of the papers after DPO and IPO, with plain loops over pairs in float64: one method for each method."""

import numpy as np
from method_cases import HYPER

H = HYPER


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _log_sigmoid(x):
    return -np.log(1 + np.exp(-x))


class PreferenceFormulas:
    """Needs `log_probs`, `reference`, `rewards` `[P, N]`, `tokens`, and `_pairs()`: (prompt, chosen, rejected)."""

    def _mean_over_pairs(self, loss, values):
        return np.mean([loss(values[p, w], values[p, l]) for p, w, l in self._pairs()])

    @property
    def _ratios(self):
        return self.log_probs - self.reference

    @property
    def _means(self):
        return self.log_probs / self.tokens

    def _sft(self):
        return H.sft_weight * self._mean_over_pairs(lambda w, l: -w, self._means)

    def cdpo(self):
        e = H.label_noise
        loss = lambda m: -(1 - e) * _log_sigmoid(H.beta * m) - e * _log_sigmoid(-H.beta * m)
        return self._mean_over_pairs(lambda w, l: loss(w - l), self._ratios)

    def robust_dpo(self):
        e = H.label_noise
        loss = lambda m: (-(1 - e) * _log_sigmoid(H.beta * m) + e * _log_sigmoid(-H.beta * m)) / (1 - 2 * e)
        return self._mean_over_pairs(lambda w, l: loss(w - l), self._ratios)

    def exo(self):
        def loss(w, l):
            p, q = np.exp([H.beta * w, H.beta * l]), np.array([1 - H.label_noise, H.label_noise])
            p = p / p.sum()
            return (p * np.log(p / q)).sum()

        return self._mean_over_pairs(loss, self._ratios)

    def dpo_sft(self):
        return self._mean_over_pairs(lambda w, l: -_log_sigmoid(H.beta * (w - l)), self._ratios) + self._sft()

    def dpop(self):
        loss = lambda w, l: -_log_sigmoid(H.beta * (w - l - H.positive_weight * max(0.0, -w)))
        return self._mean_over_pairs(loss, self._ratios)

    def chi_po(self):
        link = lambda log_ratio: np.exp(log_ratio) + log_ratio
        loss = lambda w, l: (
            -_log_sigmoid(max(min(H.beta * link(w) - H.beta * link(l), 2 * H.reward_bound), -2 * H.reward_bound))
        )
        return self._mean_over_pairs(loss, self._ratios)

    def nca(self):
        def loss(w, l):
            of_chosen, of_rejected = H.beta * w, H.beta * l
            noise = _log_sigmoid(-of_chosen) / 2 + _log_sigmoid(-of_rejected) / 2
            return -_log_sigmoid(of_chosen) - noise

        return self._mean_over_pairs(loss, self._ratios)

    def slic(self):
        return self._mean_over_pairs(lambda w, l: max(0.0, H.target_margin - w + l), self.log_probs) + self._sft()

    def simpo(self):
        gamma = H.beta * H.target_margin
        return self._mean_over_pairs(lambda w, l: -_log_sigmoid(H.beta * w - H.beta * l - gamma), self._means)

    def cpo(self):
        return self._mean_over_pairs(lambda w, l: -_log_sigmoid(H.beta * (w - l)), self.log_probs) + self._sft()

    def orpo(self):
        odds = lambda log_prob: np.exp(log_prob) / (1 - np.exp(log_prob))
        return self._mean_over_pairs(lambda w, l: -_log_sigmoid(np.log(odds(w) / odds(l))), self._means) + self._sft()

    def kto(self):
        baseline, found = max(0.0, self._ratios.mean()), []
        for rewards, ratios in zip(self.rewards, self._ratios, strict=True):
            for r, a in zip(rewards, ratios, strict=True):
                better, worse = (rewards < r).sum(), (rewards > r).sum()
                if better > worse:
                    found.append(1 - _sigmoid(H.beta * (a - baseline)))
                if worse > better:
                    found.append(H.negative_weight * (1 - _sigmoid(H.beta * (baseline - a))))
        return np.mean(found)
