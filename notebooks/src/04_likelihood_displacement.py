# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Likelihood displacement
#
# A response of a language model is a row of tokens, each drawn given those before it, so its log-probability is the sum of
# its tokens'. DPO and IPO raise log π(y_w) − log π(y_l). Nothing in that says that log π(y_w) rises: in practice both often
# fall, and the margin grows because y_l falls faster (Tajwar et al., 2024, figures 9 and 18). The word is Razin et al.'s
# (2024); for pairs that share most of their tokens Pal et al. (2024) worked it out, and made DPO-Positive against it (`dpop`).
#
# **Question.** The loss says up; why does log π(y_w) fall?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.displacement.questions import predict_length, predict_prompts

length = predict_length()
length

# %% [markdown]
# Figure 18 itself was recorded here: offline IPO (τ = .05) on notebook 00's responses of ten tokens, 10 responses of the
# reference to each prompt, 100 gradient steps on the whole data set, 3 seeds (runs that differ in their random numbers; the
# paper has 5), one learning rate for each policy. The policy is GPT-Nano, a small transformer, or a table of logits that does
# not look at the prompt.

# %%
prompts = predict_prompts()
prompts

# %% [markdown]
# ## Explore
#
# The smallest model that shows it (a prompt is what a response answers): one table of token logits, shared by all N
# positions; y_w = A…AB and y_l = A…AC differ in their last token. Several prompts have a B and a C of their own each
# and share the table; with more tables (capacity) fewer share one. One number moves all of it: s, half the margin
# gained. Things to try:
#
# - the presets `fig18-5-prompts`, `fig18-20-prompts`, `fig18-100-prompts`, and `fig18-100-capacity`;
# - **length N**: what changes, and at which length?
# - play: the model walks along the grey path by itself. Who gains?

# %%
from modeseek.bandit.explore import DisplacementExplorer

explorer = DisplacementExplorer(preset="fig18-5-prompts", step=60)
explorer.after(length, prompts)

# %% [markdown]
# Figure 18, recorded. Change the **policy** (capacity) and the **pairs**.

# %%
from modeseek.bandit.explore import Figure18Explorer

recorded = Figure18Explorer(preset="gpt", reward="R2")
recorded.after(length, prompts)

# %% [markdown]
# All 45 pairs of the ten responses instead of one: now most responses are preferred in some pairs and rejected in others.

# %%
Figure18Explorer(preset="gpt", reward="R2", pairs="all", hide=("state", "export")).after(length, prompts)

# %% [markdown]
# ## Reveal

# %%
length.reveal

# %%
prompts.reveal

# %% [markdown]
# **Why.** In log π(y_w) − log π(y_l) the A's and the normaliser cancel, so a contrastive step of any loss with coefficient c
# moves the logit of B by η c, that of C by −η c, and nothing else. But y_w has N normalisers in it:
#
# $$\frac{d \log\pi(y_w)}{d(\eta c)} = 1 - N\,(\pi_B - \pi_C), \qquad
# \log\pi(y_w)\Big|_s - \log\pi(y_w)\Big|_0 = s - N \log\!\left[1 + \pi_B(e^{s}-1) + \pi_C(e^{-s}-1)\right].$$
#
# A small step lowers y_w if and only if π_B − π_C ≥ 1/N (where both are equal, beyond first order): long responses, and
# a preferred token that is already the likelier. When P prompts share the table, π_B and π_C are sums over them, so
# that the boundary is N Σ(π_B − π_C) = 1; capacity divides the sum. For N ≥ 2 a push that goes on for ever gets there,
# since π_B grows: from some s on y_w falls, A…AA with it, and the mass goes to B…BB, which is in no data set. A loss
# may stop before. IPO on one certain pair rests at s = 1/(4τ), and DPO where its margin fits labels that differ
# (notebook 02).
#
# With τ = .05 IPO rests at s = 5, and the recorded runs get there: their margins are 10 nats. In this model y_w is far
# below the reference by then, by 11.9 nats with 5 prompts, 24.3 with 20 and 39.9 with 100. So the model has the order
# of figure 18, the more prompts, the lower y_w; it does not have its sign with 5 prompts. A network need not put the
# tokens of all prompts into one normaliser.
#
# This is a model of one table that all *positions* share. In a language model they do not, and its logits at one position may
# change without those at another: the law of length does not carry over as it stands.

# %% [markdown]
# ## Exercises
#
# **1.** π_B = .16 and π_C = .03, one prompt. What is the shortest length N at which the first step lowers y_w?

# %% tags=["exercise"]
from modeseek.bandit.explore.displacement.questions import check_length

check_length(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# N > 1/(.16 − .03) = 7.7.
#
# ```python
# check_length(8)
# ```
# </details>

# %% [markdown]
# **2.** In the preset `rejected-likelier` (N = 10, π_B = .1, π_C = .4) y_w rises at first. At which s does it turn? (Two digits.)

# %% tags=["exercise"]
from modeseek.bandit.explore.displacement.questions import check_turn

check_turn(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# N (π_B(s) − π_C(s)) = 1 with u = eˢ is 9 (.1) u² − .5 u − 11 (.4) = 0: u = (.5 + √(.25 + 15.84))/1.8 = 2.506, s = .919.
# The explorer's caption says it too.
#
# ```python
# check_turn(0.919)
# ```
# </details>

# %% [markdown]
# **3.** With 100 prompts (`fig18-100-prompts`: N = 10, π_B = .006, π_C = .002) y_w falls from the first step. How many tables does
# it take, at least, so that it rises?

# %% tags=["exercise"]
from modeseek.bandit.explore.displacement.questions import check_capacity

check_capacity(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# With G tables N Σ(π_B − π_C) = 10 · (100/G) · .004 = 4/G, which must be below one.
#
# ```python
# check_capacity(5)
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper (4.2, J.5) | here |
# |---|---|
# | Figure 18: with few prompts IPO raises y_w and lowers y_l; with many both fall. | With one pair per prompt, the best against the worst, y_w ends on R2 at +2.5 ± .8 nats (5 prompts), −1.1 ± .6 (20) and −4.0 ± 1.8 (100); on R1 at +.4 ± .5, −4.5 ± 1.4 and −7.6 ± .9. Three seeds tell that it falls with the number of prompts (on R2 by 6.5 nats, 95 % interval 2.0 to 11.0), but not on which side of zero it ends on R2: those intervals contain zero. With all pairs of ten responses GPT-Nano lowers both already with 5 prompts. A likely reason: a response in the middle is preferred in some pairs and rejected in others. |
# | It depends on capacity, the reference, data size and composition. | In the smallest model all four are one number, N Σ(π_B − π_C). In the recorded runs the number of prompts and the pairs matter; of capacity they show the opposite: the table, which cannot tell prompts apart, keeps y_w higher than GPT-Nano (at a learning rate of its own, so no clean comparison). |
# | The recovered mass goes to other, out-of-distribution responses. | In the smallest model to B…BB: the closed form says how much. Of the recorded runs it was not kept. |
#
# Every quantity here is of the training pairs; implicit rewards are log π − log π_ref, at β = 1.

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state(), recorded.to_state(), sep="\n")
print(*sorted(path.name for path in recorded.export(Path(mkdtemp()) / "figure-18")), sep="\n")
