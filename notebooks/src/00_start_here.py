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
# at once; the next ones take it apart.
#
# The problem is small enough to see whole: a response is 10 tokens out of 100, a *reference* policy that knows mostly
# tokens 0 and 99, and a reward that likes one neighbourhood of tokens. With **R1** that neighbourhood is where the
# reference has little mass, with **R2** it is where the reference already is.

# %% [markdown]
# ## Is everything here?

# %% tags=["varies"]
from modeseek.bandit.explore import check_environment

check_environment()

# %% [markdown]
# ## Predict
#
# Five methods: Best-of-N and RWR raise the likelihood of good samples; PPO and on-policy IPO also push bad samples down;
# offline IPO does so on data sampled once, from the reference.

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
explorer

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
# **2.** At the end of R1, how far, in nats a response, is on-policy PPO from the reference? To one nat.

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
# | the paper (section 5) | this recorded run, 3 seeds, 40 of 100 collections |
# |---|---|
# | On-policy sampling helps most where the reward's peak is far from the reference. | On R1 Best-of-N, RWR and PPO, which sample on-policy, reach the ceiling; offline IPO stays below one half. |
# | On-policy IPO reaches the ceiling too (figure 19). | Not on R1 here, with the reference's tails piled up: it stays near one half. With the tails discarded most seeds get there (notebook 08). The authors' released code scores a token with logits that have read it already; `modeseek bandit --preset released_code` does the same, and reproduces their number. |
# | Negative gradients make a method fast. | On-policy IPO is the first above one half, and PPO needs the fewest nats for what it reaches. |

# %% [markdown]
# ## Take it with you
#
# `export` writes the picture as PNG and SVG, its data as CSV, and a JSON card that says how to make them again.

# %%
from pathlib import Path
from tempfile import mkdtemp

print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "which-method")), sep="\n")

# %% [markdown]
# Next: [01, forward against reverse KL](01_kl_explorer.ipynb).
