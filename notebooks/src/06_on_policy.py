# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A thousand samples
#
# Sampling costs. *On-policy* means that the policy in training draws the samples; but between two collections it moves
# away from the one that drew them, the *behavior* policy, and the data grow stale. Large collections are stale for
# long; many passes over each make them staler.
#
# **Question.** You may draw 1 000 samples. How often do you refresh the policy that draws them?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.on_policy.questions import predict_reuse, predict_size

size = predict_size()
size

# %%
reuse = predict_reuse()
reuse

# %% [markdown]
# ## Explore
#
# Problem and policy are those of notebooks 00 and 05: responses of ten tokens, and GPT-Nano, a small transformer. KL to the
# reference costs nothing here (β = 0). What you see first was recorded, five seeds (runs that differ in their random
# numbers): 1 000 samples in collections of **B**, **T** passes over each in minibatches of 100 (a gradient step is taken on
# each minibatch), so that every B takes equally many gradient steps. Below the reward: how far the policy is from the
# behavior policy, back to zero at each refresh. On the right the end of every (B, T), and the ratios π/π_behavior of the
# chosen B's collection after its last step, with the band 1 ± ε in which PPO goes on pushing. Down a column of that map T = 1,
# 5, 20 take 10, 50, 200 gradient steps: it does not tell more use of the samples from longer training.
#
# Presets hold R1 (peak at 70) against R2 (peak at 20, where the reference is). Move the **reward peak** between them, or
# change the method, and press **Train**: it trains all four B at the chosen T. Each T and B is a shape of its own: about a
# minute to compile with GPT-Nano, less with the table.

# %%
from modeseek.bandit.explore import OnPolicyExplorer

explorer = OnPolicyExplorer(preset="R1-best-of-n", samples="200")
explorer.after(size, reuse)

# %% [markdown]
# PPO on the same reward, with the same B = 200:

# %%
out_of_sight = ("policy", "learning_rate", "seeds", "first_seed")
ppo = OnPolicyExplorer(preset="R1-ppo", samples="200", hide=out_of_sight)
ppo.after(size, reuse)

# %% [markdown]
# Best-of-N where the reward's peak is near the reference, R2:

# %%
OnPolicyExplorer(preset="R2-best-of-n", hide=(*out_of_sight, "state", "export")).after(size, reuse)

# %% [markdown]
# ## Reveal

# %%
size.reveal

# %%
reuse.reveal

# %% [markdown]
# **Why.** Who never refreshes is told about responses of the reference alone. The network may carry that over to others, but
# nobody corrects it there. Each refresh moves the distribution that is learnt from. PPO weighs a response by its ratio
# $\rho = \pi_\theta(y)/\pi_{\text{behavior}}(y)$ and stops pushing it where
#
# $$\min\bigl(\rho A,\ \mathrm{clip}(\rho, 1-\varepsilon, 1+\varepsilon)\,A\bigr)$$
#
# is flat (paper I.2.4, here with the ratio of whole responses). That ends the push, and pulls no ratio back. A step
# that crosses the edge of the band ends beyond it; after it the momentum of Adam and the pushes on other responses,
# which share the network's weights, may still move the ratio. After the last collection of B = 200 on R1, 90 % of PPO's
# ratios are outside the band, and 96 % of Best-of-N's, which has no clip. What differs is how far: 57 % of PPO's lie
# within ±.8 nats on the logarithmic axis, and 10 % of Best-of-N's.

# %% [markdown]
# ## Exercises
#
# **1.** B = 500, T = 20, minibatches of 100: how many gradient steps does the run take, and how many collections?

# %% tags=["exercise"]
from modeseek.bandit.explore.on_policy.questions import check_budget

check_budget(steps=..., refreshes=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Two collections; 20 passes over 500 samples are 100 steps on each.
#
# ```python
# check_budget(steps=200, refreshes=2)
# ```
# </details>

# %% [markdown]
# **2.** ε = .2, responses of ten tokens. By how many nats may a token's log-probability rise, on average, before PPO stops
# pushing a good response up? (To .0005.)

# %% tags=["exercise"]
from modeseek.bandit.explore.on_policy.questions import check_band

check_band(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The log-ratio of the response is the sum over its tokens, and may reach log 1.2.
#
# ```python
# import math
#
# check_band(math.log(1.2) / 10)
# ```
# </details>

# %% [markdown]
# **3.** R1, B = 500, T = 20: how high does the mean of KL(policy ‖ behavior) get with Best-of-N, and how high with PPO? (To a
# tenth of its value.)

# %% tags=["exercise"]
from modeseek.bandit.explore.on_policy.questions import check_peaks

check_peaks(best_of_n=..., ppo=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The lower left view of each; the numbers are in the view-models, a row for each T and a column for each B.
#
# ```python
# check_peaks(best_of_n=explorer.model.result.peak[-1, 2], ppo=ppo.model.result.peak[-1, 2])
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper (section 4.1, figure 4) | these grids, 5 seeds, 1 000 samples, one learning rate; the reference's tails piled up |
# |---|---|
# | More on-policy, that is a smaller B, is better. | Best-of-N on R1, T = 20: .96, .69, .24 and .13 with B = 100, 200, 500 and 1 000; every refresh is a step of the stairs. |
# | A larger B gives a higher peak of KL(policy ‖ behavior). | Of the mean over seeds (Best-of-N on R1): at T = 5 .7 nats with B = 100, about 1.3 with the others; at T = 20 2.6, 4.0, 3.9 and 3.1 with B = 100, 200, 500 and 1 000. But each seed has its peak at another step, and the means of their own peaks, 3.7, 4.2, 4.2 and 3.7 at T = 20, do not tell the sizes apart. |
# | PPO tolerates reuse better than Best-of-N (said of language models). | Not told by these grids: more passes are also more steps (at tuned rates the claim is undecided: `docs/reproduction.md`). What they show: with 20 passes over each collection PPO ends at .88, .44, .13 and .08 on R1, below Best-of-N at every B, and is never more than .4 to .7 nats from the behavior policy. That is the clip's doing: with ε = 2 in place of .2 (B = 200, five seeds, trained for this table) PPO ends at .75 ± .01, and gets 2.1 nats away. |
# | More so on R1 than on R2. | B matters on both: on R2 Best-of-N ends at .99, .93, .58 and .42 (reference .25), on R1 at .96, .69, .24 and .13 (reference .04). Doubling B to 200 costs .06 on R2 and .27 on R1. |

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "on-policy")), sep="\n")
