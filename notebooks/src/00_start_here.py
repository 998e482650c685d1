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
# at once; the next ones take it apart. Here it is enough that a *policy* is the model seen as a distribution over its
# responses, that the *reference* is the policy before fine-tuning, and that a *reward* says how good a response is;
# [01](01_first_steps.ipynb) explains these words and the methods.
#
# The problem is small enough to see whole. A response is a row of 10 *tokens*; there are 100 different tokens, 0 to 99. Every
# token has a reward between 0 and 1, and a response earns the mean over its tokens. The reference gives .45 of its
# probability to tokens 1 to 35, and .38 to the two outermost ones, 0 and 99. The reward is high in one neighbourhood. With
# **R1** that is tokens 60 to 80, to which the reference gives .04; with **R2** it is tokens 10 to 30, to which it gives .29.

# %% [markdown]
# ## How much time have you got?
#
# Each notebook asks one question: you commit to a prediction, move an explorer, see the answer and the reason for it, and do
# exercises that say what is wrong with an answer.
#
# | time | for whom | which |
# |---|---|---|
# | 30 minutes | You have met PPO and DPO before. | [00](00_start_here.ipynb), [02](02_dpo_out_of_distribution.ipynb), without the exercises |
# | 90 minutes | You know the gradient of a softmax, and have heard of KL. | [00](00_start_here.ipynb), [01](01_first_steps.ipynb), [03](03_negative_gradient.ipynb), [06](06_on_policy.ipynb), without the exercises |
# | about five hours | You want all of it. | 00 to 11, in their order |
#
# The minutes are for who has met such ideas before; they are estimates, and nobody was timed. If all of it is new to you, take
# twice as many, and 01 in two halves (up to the policy gradient; the rest). Each notebook names those whose words it uses.

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
# Choose a reward and a method, and move or play the measurement. On the left every curve is the mean of three *seeds* (runs
# that differ in their random numbers alone), the band its standard error. On the right a policy's distance from the
# reference is measured in *nats*; the dashed line is the most reward that any policy can have at a distance, and the diamond
# at its end the policy that always gives the best response.
#
# Every control works from the keyboard: Tab to reach it, arrow keys to move it. The line *state* below the picture holds
# everything; send it to somebody, and `DemoExplorer.from_state("…")` shows the same. In the names of presets and methods - and
# _ are alike.

# %%
from modeseek.bandit.explore import DemoExplorer

explorer = DemoExplorer(preset="R1")
explorer.after(offline)

# %% [markdown]
# ## Reveal

# %%
offline.reveal

# %% [markdown]
# **One question, two learning rates, two answers.** At the rate .03, which tuning chooses for offline IPO on both
# rewards, the order turns: over a hundred seeds and 1 000 gradient steps it ends at .73 on R1 and at .61 on R2, and
# PPO, tuned too, at 1.00 and .99 ([09](09_reproduce_paper.ipynb), figure 19). Then the old samples cost more on R2.
# So what they cost hangs on the learning rate too, and not on the place of the peak alone.
#
# **Read the right picture, too.** PPO, RWR and Best-of-N have no price for distance in their objective here: with
# time they put all mass on one response (exercise 2 asks how far away that is). IPO has one built in: its loss asks
# for a margin of 10 nats between two responses and no more. (A margin is between two responses; distance from the
# reference is another number. A policy whose margins are 10 nats may be farther away than 10.) A reward at the end
# therefore compares methods with different goals. Ask who earns more at the same number of nats. (Learning rates
# differ too: .003 for both kinds of IPO, .001 for the others.)

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
# **2.** At the end of R1, how far is on-policy PPO from the reference, in nats per response? (Nats are the unit of KL,
# the distance that 01 explains: at 1 nat a policy's responses are, in the geometric mean, e times as likely as under
# the reference.) To one nat.

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
# | the paper (section 5) | this recorded run: three seeds, 40 rounds of sampling where the paper has 100 |
# |---|---|
# | On-policy sampling helps most where the reward's peak is far from the reference. | On R1 Best-of-N, RWR and PPO reach the ceiling, and offline IPO ends at .44 on these three seeds ([05](05_bandit_explorer.ipynb) has two more). But they differ from it in more than their samples. On-policy IPO differs in nothing else, and ends .02 above offline IPO on R1 and .29 above it on R2: not seen here. |
# | On-policy IPO reaches the ceiling too (figure 19). | On R2; on R1 it ends at .46. What that hangs on is the question of [09](09_reproduce_paper.ipynb). |
# | Negative gradients, that is pushing down, make a method fast. | On-policy IPO is the first above one half on R1, at three times the others' learning rate. PPO pushes down too, and is the slowest on-policy method: it is above one half at step 68, Best-of-N at 50, RWR at 54. This run does not tell the push from the rate; [09](09_reproduce_paper.ipynb) tunes the rates. |

# %% [markdown]
# ## Take it with you
#
# `export` writes the picture as PNG and SVG, its data as CSV, and a JSON card that says how to make them again.

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "which-method")), sep="\n")
