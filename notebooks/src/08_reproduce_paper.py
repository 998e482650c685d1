# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The paper, reproduced
#
# Every bandit figure of Tajwar et al. (2024), Table 3, and a verdict on each claim that is made with them. Runs are paired
# by seed; a learning rate is chosen on some seeds and judged on others; a verdict is an interval that holds for all claims
# at once.
#
# **Question.** Which claims stand, which do not, and what does that depend on?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.reproduce.questions import predict_on_policy_ipo, predict_remedy

on_policy_ipo = predict_on_policy_ipo()
on_policy_ipo

# %%
remedy = predict_remedy()
remedy

# %% [markdown]
# ## Explore
#
# - **target**: a figure, Table 3, or two of ours (`ablation`: the released code with one difference mended at a time;
#   `remedies`: what might help on-policy IPO);
# - **conventions**: the paper's text, or what its released code does;
# - **protocol**: the paper's ten learning rates and five seeds with ten fresh ones for the verdicts (or a hundred), or a
#   quick one of minutes, whose three seeds decide nothing (a verdict needs five fresh ones);
# - **claim or row**: its curves are underlaid in the figure, its interval is ringed, and below that the number itself, seed by
#   seed, at the tuned learning rates and along the grid.
#
# What is not stored is named, with the command that makes it; what you make in this folder is shown here.

# %% tags=["varies"]
from modeseek.bandit.explore import ReproduceExplorer

explorer = ReproduceExplorer(preset="fig19", row=3)
explorer

# %% [markdown]
# Offline, with negative gradients and without:

# %% tags=["varies"]
ReproduceExplorer(preset="fig16", row=1, hide=("state", "export"))

# %% [markdown]
# ## Reveal

# %%
on_policy_ipo.reveal

# %%
ReproduceExplorer(preset="remedies", row=5, hide=("conventions", "protocol", "state", "export"))

# %%
remedy.reveal

# %% [markdown]
# **Why.** IPO's loss for a pair is $\left(\log\frac{\pi(y_w)\,\pi_{ref}(y_l)}{\pi_{ref}(y_w)\,\pi(y_l)} - \frac{1}{2\tau}\right)^2$.
# Once the log-ratios of a pair differ by 1/(2τ) nats, its gradient turns round: also a good response is pulled back. With a
# fixed reference, sampling on-policy does not move that point.

# %% [markdown]
# ## The slips of the mathematics
#
# What is printed, what is right, and how often either holds on random instances (`modeseek theory` tries more of them):

# %%
from modeseek.bandit.explore.reproduce.errata import ErrataTable

ErrataTable()

# %% [markdown]
# ## Exercises
#
# **1.** A claim says that one method ends higher than another. Find an interval for the difference that contains zero and is
# nevertheless a verdict. (Effects below .02 are too small to matter.)

# %% tags=["exercise"]
from modeseek.bandit.explore.reproduce.questions import check_no_effect

check_no_effect(low=..., high=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# A narrow interval around zero: it rules out every difference that would matter, and the claim is *not reproduced*.
#
# ```python
# check_no_effect(low=-0.01, high=0.012)
# ```
# </details>

# %% [markdown]
# **2.** Which remedies bring on-policy IPO on R1 above .98? Give the set of their names, as they stand in the picture.

# %% tags=["exercise"]
from modeseek.bandit.explore.reproduce.questions import check_remedies

check_remedies(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The explorer's table has every row's number; three are above.
#
# ```python
# check_remedies({"large-margin", "moving", "dpo"})
# ```
# </details>

# %% [markdown]
# **3.** The paper's τ = .05 is a target margin of 10 nats. Which τ gives 50?

# %% tags=["exercise"]
from modeseek.bandit.explore.reproduce.questions import check_tau

check_tau(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# 1/(2τ) = 50.
#
# ```python
# check_tau(0.01)
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# The verdicts on what is stored for figure 19, as the explorer has them:

# %% tags=["varies"]
print(explorer.caption())

# %% [markdown]
# | the paper | here |
# |---|---|
# | On-policy IPO ends as high as PPO on R1 (section 4.3, Table 3). | Under the text's conventions it does not: it rests near one half at rates up to .01; above, a run may collapse onto one token, good or bad, and at .3, which five seeds put first, a hundred others average .44. A margin target of 50 nats, a moving reference, or DPO reach the ceiling. |
# | Table 3's .92. | It is the ceiling of the released code's convention, where the random prompt counts as a tenth of the response: .9 + .1 · .177 = .918. Under the text's the ceiling is 1. |
# | Theorem E.5, cases 1 and 3. | Hold under conditions that the statement leaves out; see the table of slips. |
#
# Quick runs have two fresh seeds and give no verdict, whatever their curves suggest. `modeseek reproduce all` runs the
# whole protocol: hours a figure on two cores.

# %% [markdown]
# ## Take it with you

# %%
from pathlib import Path
from tempfile import mkdtemp

print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "reproduce")), sep="\n")
