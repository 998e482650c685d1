# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which method, when?
#
# A language model that is fine-tuned on preferences is pushed by one of a dozen methods. Some sample from the model that
# is being trained, some read a fixed data set; some push bad responses down, some only pull good ones up. Tajwar et al.
# (ICML 2024) asked when which of it pays. This notebook is a tour on one recorded run, so that there is something to see
# at once; the next ones take it apart. Its words are explained in [01](01_first_steps.ipynb), each before it is used; here it
# is enough that a *policy* is the model seen as a distribution over its responses, that the *reference* is the policy before
# fine-tuning, and that a *reward* says how good a response is.
#
# The problem is small enough to see whole: a response is 10 tokens out of 100, a *reference* policy that has .45 of its
# mass on tokens 1 to 35 and .38 on the two outermost ones, 0 and 99, and a reward that likes one neighbourhood of tokens.
# With **R1** that neighbourhood, tokens 60 to 80, has .04 of the reference's mass; with **R2**, tokens 10 to 30, it has .29.

# %% [markdown]
# ## How much time have you got?
#
# Each notebook asks one question: you commit to a prediction, move an explorer, see the answer and the reason for it, and do
# exercises that say what is wrong with an answer.
#
# | time | for whom | which |
# |---|---|---|
# | 30 minutes | You have met PPO and DPO before. | [00](00_start_here.ipynb), [02](02_dpo_out_of_distribution.ipynb), without the exercises |
# | 90 minutes | You know softmax and logarithm. | [00](00_start_here.ipynb), [01](01_first_steps.ipynb), [03](03_negative_gradient.ipynb), [06](06_on_policy.ipynb), without the exercises |
# | about five hours | You want all of it. | 00 to 11, in their order |
#
# The minutes at a notebook's head are estimates. From 01 on each notebook names those whose words it uses.

# %% [markdown]
# ## Is everything here?
#
# Run the cells from top to bottom: Shift+Enter for one, *Run → Run All Cells* for all. Code that only makes a view is folded;
# a click on its three dots, or *View → Expand All Code*, opens it.

# %% tags=["varies"]
from modeseek.bandit.explore import check_environment

check_environment()

# %% [markdown]
# ## Predict
#
# Five methods: Best-of-N and RWR raise the likelihood of good samples; PPO and on-policy IPO also push bad samples down.
# These four are *on-policy*: they sample from the policy that is being trained. Offline IPO is trained on data sampled once,
# from the reference.

# %%
from modeseek.bandit.explore.demo.questions import predict_offline

offline = predict_offline()
offline

# %% [markdown]
# ## Explore
#
# Choose a reward and a method, and move or play the measurement. Every control works from the keyboard: Tab to reach it,
# arrow keys to move it. The line *state* below the picture holds everything; send it to somebody, and
# `DemoExplorer.from_state("…")` shows the same.

# %%
from modeseek.bandit.explore import DemoExplorer

explorer = DemoExplorer(preset="R1")
explorer.after(offline)

# %% [markdown]
# ## Reveal

# %%
offline.reveal

# %% [markdown]
# ## Exercises
#
# **1.** Which of the five methods is the first whose mean expected reward on R1 is above one half? Give its name as it
# stands in `explorer.model.table()["method"]`, such as `"ipo"`.

# %% tags=["exercise"]
from modeseek.bandit.explore.demo.questions import check_fastest

check_fastest(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The recorded curves are the explorer's table; the first row above one half with the smallest step is on-policy IPO's.
#
# ```python
# check_fastest("on_policy_ipo")
# ```
# </details>

# %% [markdown]
# **2.** At the end of R1, how far is on-policy PPO from the reference, in nats a response? (Nats are the unit of KL, the
# distance that 01 explains: at 1 nat a policy's responses are, in the geometric mean, e times as likely as under the
# reference.) To one nat.

# %% tags=["exercise"]
from modeseek.bandit.explore.demo.questions import check_distance

check_distance(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Set the measurement to its end and read the caption, or ask the view-model.
#
# ```python
# table = explorer.model.table()
# check_distance(table["kl_to_reference"][table["method"] == "ppo"][-1])
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper (section 5) | this recorded run, 3 seeds (runs that differ in their random numbers alone), 40 of 100 collections |
# |---|---|
# | On-policy sampling helps most where the reward's peak is far from the reference. | On R1 Best-of-N, RWR and PPO, which sample on-policy, reach the ceiling; offline IPO stays below one half. |
# | On-policy IPO reaches the ceiling too (figure 19). | Find its curve. What it hangs on is the question of [09](09_reproduce_paper.ipynb). |
# | Negative gradients, that is pushing down, make a method fast. | The first exercise is about that; why is the question of [03](03_negative_gradient.ipynb). |

# %% [markdown]
# ## Take it with you
#
# `export` writes the picture as PNG and SVG, its data as CSV, and a JSON card that says how to make them again.

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "which-method")), sep="\n")
