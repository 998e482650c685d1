# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The negative gradient
#
# Some methods only pull good responses up (Best-of-N, RWR, and Pref-FT, which raises the likelihood of each pair's chosen
# response); others also push bad ones down (DPO, IPO, PPO, and Best-of-N *with a negative gradient*, which also lowers, with a
# weight of its own, the log-probability of every draw that is worse than the best). Tajwar et al. (2024, section 4.2) find
# that the push pays where the reward's peak is unlikely under the reference. A push takes mass from a response, and all
# mass is one: somebody gets it.
#
# **Question.** Push this answer down: who gets the mass?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.negative.questions import predict_figure16, predict_winners

winners = predict_winners()
winners

# %%
figure16 = predict_figure16()
figure16

# %% [markdown]
# ## Explore
#
# One logit per response, and responses are counted from 0. A step changes the logits by η (c₁ ∇log p_w − c₂ ∇log p_l),
# eq. 7: it pulls w, the preferred response, up and pushes l, the rejected one, down. Left below: what *this step's*
# negative term alone does to every probability. Middle: Lemma E.2's gauge, how much log p of each response gains as l
# is pushed; a response that gains is called *aligned*. Right: the long run, with the negative term and without. Things
# to try:
#
# - `push-rare-down` against `push-likely-down`: choose another **rejected l** and watch who gains;
# - `E2-not-aligned`: the ring of w is below zero; then play, and see where it ends all the same;
# - `balanced`: at c₁ = c₂ the others keep their odds among themselves, whatever l is.

# %%
from modeseek.bandit.explore import NegativeGradientExplorer

explorer = NegativeGradientExplorer(preset="push-rare-down", step=5)
explorer.after(winners, figure16)

# %% [markdown]
# Figure 16's four methods, on responses of one token out of 100 (notebook 00's, which have ten, are called *the bandit*)
# and with exact gradients, so that nothing is due to sampling. Compare `fig16-R1` and `fig16-R2`, change the **draws** N,
# and the **label sharpness**: 1 is Bradley and Terry's noise on rewards between 0 and 1, 100 is as good as the bandit's
# certain comparisons.

# %%
from modeseek.bandit.explore import FourMethodsExplorer

four = FourMethodsExplorer(preset="fig16-R1")
four.after(winners, figure16)

# %% [markdown]
# ## Reveal

# %%
winners.reveal

# %%
figure16.reveal

# %% [markdown]
# **Why.** ∇ is the derivative by the logits. With one logit per response ∇log p_j = 1_j − p, where 1_j has a 1 at j and 0
# elsewhere. So the negative term adds η c₂ p_k to logit k, and η c₂ (p_l − 1) to that of l. Now log p_j changes by the change of
# its own logit less the mean change, Σ p_k times the change of logit k, which is η c₂ (Σ p² − p_l). To first order:
#
# $$\Delta \log p_j = \eta\, c_2\,\Big(p_j + p_l - \sum_k p_k^2\Big) = -\,\eta\, c_2\, \nabla\log p_j \cdot \nabla\log p_l
# \qquad (j \neq l).$$
#
# So the gauge of Lemma E.2, whose condition is ∇log p_w · ∇log p_l ≤ 0, answers the question for every response at once: who
# is above Σ p² − p_l gains, who is below loses together with l. The likeliest l is safe to push: Σ p² ≤ max p, so that everybody
# else gains. Any other l may cost the rarest ones: with p = (.6, .35, .05), pushing the second lowers the third as well. And a
# rare l feeds the likeliest response. The margin grows in any case (eq. 8), but log p_w need not (eqs. 9 and 10).
#
# <details><summary>For who has the paper open: two slips, mended here</summary>
#
# The proof of E.2 prints the update with a minus in front of η, where eq. 7 rightly has a plus. And where it says how much more
# the margin log p_w − log p_l grows with the negative term than without, c₁ and c₂ are swapped; it should read
#
# $$\Delta = \eta\, c_2\left[\|\nabla\log p_l\|^2 - \nabla\log p_l \cdot \nabla\log p_w\right].$$
# </details>

# %% [markdown]
# ## Exercises
#
# **1.** Find a start of at least four responses, and a rejected one that is *not* the likeliest, whose fall raises every other
# response.

# %% tags=["exercise"]
from modeseek.bandit.explore.negative.questions import check_everybody_gains

check_everybody_gains(start=..., rejected=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Everybody needs p_j > Σ p² − p_l. Near the uniform distribution Σ p² is about p_l, so the bound is about zero.
#
# ```python
# check_everybody_gains(start=(0.3, 0.25, 0.25, 0.2), rejected=1)
# ```
# </details>

# %% [markdown]
# **2.** Three responses: p_w = .1, p_l, and one with the rest. At which p_l is ∇log p_w · ∇log p_l zero? (Two digits.)

# %% tags=["exercise"]
from modeseek.bandit.explore.negative.questions import check_boundary

check_boundary(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# −.1 − p_l + .01 + p_l² + (.9 − p_l)² = 0, that is 2 p_l² − 2.8 p_l + .72 = 0: p_l = (2.8 − √2.08)/4 = .339.
#
# ```python
# check_boundary(0.339)
# ```
# </details>

# %% [markdown]
# **3.** On `fig16-R1` Best-of-N with the negative gradient ends below IPO. Change the number of draws, and nothing else, so that
# it ends above. Give the explorer or its state. Then look whether it was the negative gradient that did it.

# %% tags=["exercise"]
from modeseek.bandit.explore.negative.questions import check_negative_wins

check_negative_wins(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The best of ten draws is seldom near the peak, the best of sixty often. Plain Best-of-N then ends higher still, at .76
# against .74: what was missing was a larger N, not a push.
#
# ```python
# check_negative_wins(FourMethodsExplorer(preset="fig16-R1", draws=60))
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper | exact steps on a softmax |
# |---|---|
# | Lemma E.2, eq. 8: a negative term widens the margin. | Always, for independent logits; no data set has to be chosen. |
# | Eqs. 9, 10: under gradient alignment y_w is more likely, y_l less. | Yes for one step; without alignment y_w pays (`E2-not-aligned`). In the long run the pull still wins there. |
# | "For any θ there always exists a y_l that satisfies this condition." | Yes: the likeliest response; and any other, where y_w is the likeliest. |
# | Figure 16: methods with a negative gradient beat those without, more so on R1. | On one token, with exact gradients and these β, τ and N, only half of it: the push takes Best-of-N further on both rewards (at equal nats it earns less), but RWR, without any push, is the highest on R1. |
# | J.3: on one token and R2, Best-of-N is better than IPO. | Seen with the preset's numbers, by less than .01; τ decides. |
#
# The sequences of the paper's figure 16, with sampling and a network, are run by
# `modeseek bandit --methods offline_best_of_n offline_rwr best_of_n_negative ipo --rewards R1 R2`.

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state(), four.to_state(), sep="\n")
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "negative")), sep="\n")
