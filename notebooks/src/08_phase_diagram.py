# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When does the winner change?
#
# The reference knows the tokens around 16 and the outermost ones. A reward that has its peak at token 20 likes what the
# policy does already; with the peak at 70 it likes what the policy hardly ever does. In between lies the question when
# on-policy sampling and negative gradients pay.
#
# The methods are those of notebook 01, each *offline*, on samples of the reference, or *on-policy*, on its own.
#
# **Question.** Slide the peak from 20 to 70: who wins, and after how many gradient steps?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.phase.questions import predict_crossing, predict_offline

crossing = predict_crossing()
crossing

# %%
offline = predict_offline()
offline

# %% [markdown]
# ## Explore
#
# Recorded runs: six methods, six places of the peak, three seeds, 200 gradient steps, one learning rate a method (.001 for
# Best-of-N, RWR and PPO, .003 for IPO and DPO); `bandit/explore/data/phase.nc`, made by
# `python -m modeseek.bandit.explore.phase.bake FOLDER`. A cell of the map has the colour and the marker of the method with the highest mean;
# it is hatched and pale where the 95 % intervals of the best two overlap. With three seeds that is often.
#
# - Move **peak at token** and **measurement** to choose a cell; both cuts through it stand at the right.
# - Choose which **methods** compete.
# - The text below names what opens the cell in notebook 05, to watch the runs token by token.

# %%
from modeseek.bandit.explore import PhaseExplorer

explorer = PhaseExplorer(center=70, step=5)
explorer.after(crossing, offline)

# %%
PhaseExplorer("best-of-n-against-ipo", center=70, step=2, hide=("state", "export")).after(crossing, offline)

# %% [markdown]
# ## Reveal

# %%
crossing.reveal

# %%
offline.reveal

# %% [markdown]
# **Why.** A method that never samples anew (Algorithm 1 of the paper with one collection, T passes) can only move mass among
# responses that the reference gives. How much the rewarded tokens weigh there is the number that the peak's place changes.

# %% [markdown]
# ## The whole map
#
# The same question with the learning rate of each method tuned in every cell, eight methods, up to sixteen seeds, against six
# conditions: `modeseek phase`; `docs/explanation/phase.md` says in words what is on it. Hatched cells are ties: all methods whose
# marker stands there may be the best.

# %%
from modeseek.bandit.explore.phase.whole import WholeMap

WholeMap().after(crossing, offline)

# %% [markdown]
# ## Exercises
#
# **1.** Which is the first of the recorded places at which offline IPO ends below one half?

# %% tags=["exercise"]
from modeseek.bandit.explore.phase.questions import check_half

check_half(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The table of the explorer, at its last step: only the farthest place is below.
#
# ```python
# check_half(70)
# ```
# </details>

# %% [markdown]
# **2.** Find two cells of one map with different clear winners. Give two states.

# %% tags=["exercise"]
from modeseek.bandit.explore.phase.questions import check_change

check_change(first=..., second=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Two methods are told apart more often than the best two of six. Negative gradients make on-policy IPO fast; where the
# peak is far Best-of-N overtakes it.
#
# ```python
# check_change(
#     first="phase?preset=best-of-n-against-ipo&center=70&step=2",
#     second="phase?preset=best-of-n-against-ipo&center=70&step=15",
# )
# ```
# </details>

# %% [markdown]
# **3.** Find a tie in which the best two means differ by .05 or more.

# %% tags=["exercise"]
from modeseek.bandit.explore.phase.questions import check_tie

check_tie(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Early, and with the peak in the middle, the curves are steep, and seeds differ by when they start to rise.
#
# ```python
# check_tie("phase?center=50&step=4")
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper (sections 4 and 5) | these runs, 3 seeds, one learning rate a method; the reference's tails piled up |
# |---|---|
# | On-policy sampling helps most where the peak is far from the reference. | Offline IPO ends at .71 with the peak at 20 and at .44 at 70; Best-of-N, RWR and PPO end above .96 everywhere. |
# | Negative gradients make a method fast. | On-policy DPO has the highest mean almost everywhere after 40 steps; on-policy IPO beats Best-of-N early at every place, beyond the noise. |
# | On-policy IPO is at least as good as the others at the end. | Near the reference it is; with the peak at 70 Best-of-N overtakes it for good (under this reading of the paper; what that hangs on is the question of [09](09_reproduce_paper.ipynb)); and with all six methods most cells are ties: three seeds do not tell the best two apart. |
#
# One learning rate a method is not the best of a grid at each place: a tuned method may do better than it does here.

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "phase")), sep="\n")
