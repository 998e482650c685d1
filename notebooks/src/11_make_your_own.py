# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Make your own
#
# Until here the rewards were bumps and the methods were other people's. Now both are yours: draw a reward, and write a
# method. At the end you get a budget, and are scored.
#
# **Question.** What does your own reward do, your own method, and your own plan, that you did not expect?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.own.questions import predict_hills

hills = predict_hills()
hills

# %% [markdown]
# ## Draw a reward
#
# Eleven knots over the 100 tokens, straight lines between them (the picture shares its root scale with the
# probabilities, so they look round there, and .6 stands at three quarters of the height): drag their tops, or reach one
# with Tab and move it with ↑ and ↓. Reference, optimum and frontier are those of *your* reward, exactly, at every move.
# What is recorded is PPO on the two hills; for anything else press **Train**, the table of logits takes seconds.

# %%
from modeseek.bandit.explore import BanditExplorer

explorer = BanditExplorer(
    preset="drawn-ppo", show=("preset", "knots", "method", "policy", "learning_rate", "step", "export", "state")
)
explorer.after(hills)

# %% [markdown]
# ## Reveal

# %%
hills.reveal

# %% [markdown]
# **Why.** Each standardised advantage is measured against what else was drawn (eq. 19): as long as the batch earns less than
# responses with tokens of the high hill, those are pushed up. What an on-policy method has lost it does not see, and so does
# not miss: where all responses of a batch are alike, nothing is pushed.

# %% [markdown]
# ## Keep it
#
# Save the reward under a name, and train anything on it, here or with `modeseek bandit --rewards saved:two-hills`. The state
# string holds the knots too: send it to somebody.

# %% tags=["code"]
from modeseek import load_reward

explorer.save_reward("two-hills", replace=True)
print(load_reward("two-hills"))
print(explorer.to_state())

# %% [markdown]
# ## Write a method
#
# A method is a function of the batch. It gets log-probabilities, rewards and advantages of P prompts with N responses
# each, and gives a loss for each response `[P, N]`, each prompt `[P]`, or each pair `[P, N, N]`, where the first response
# is the preferred one. Take no mean: that is done for you.
#
# | in the batch | shape | |
# |---|---|---|
# | `batch.log_probs` | `[P, N]` | $\log \pi(y\mid x)$, what the gradient goes through |
# | `batch.log_ratios` | `[P, N]` | $\log \pi(y\mid x) - \log \pi_{\mathrm{ref}}(y\mid x)$ |
# | `batch.behavior_log_probs` | `[P, N]` | under the policy that sampled |
# | `batch.rewards`, `batch.advantages` | `[P, N]` | as sampled; standardised |
#
# Here is one: REINFORCE whose push down is half as strong as its push up.

# %% tags=["own"]
import jax.numpy as jnp

import modeseek


def gentle(batch, hyper):
    """REINFORCE that pushes down half as hard as up."""
    pushes = jnp.where(batch.advantages < 0, 0.5, 1.0) * batch.advantages
    return -pushes * batch.log_probs


mine = modeseek.own_method("gentle", gentle, title="Gentle REINFORCE")
print(modeseek.methods()["gentle"].needs, "pushes down:", mine.negative_gradient)

# %% [markdown]
# Before it was taken, its gradient was compared with finite differences, and a few things were tried on it. What is wrong
# is said in a sentence:


# %% tags=["own"]
def steep(batch, hyper):
    """A root of the log-ratio, which has no slope where it begins."""
    return -batch.advantages * jnp.sqrt(jnp.abs(batch.log_ratios))


try:
    modeseek.own_method("steep", steep)
except ValueError as error:
    print(error)

# %% [markdown]
# From now on every table, figure and menu knows it. Change the function, run its cell again, and the new code is what
# trains.

# %% tags=["varies", "code"]
results = modeseek.run(
    methods=["gentle", "reinforce"],
    rewards=["saved:two-hills"],
    policy=modeseek.bandit.simulator.config.PolicyConfig(kind="tabular"),
    learning_rate=0.1,
    collections=10,
    seeds=2,
    progress=False,
)
print(modeseek.table(results))
modeseek.plot(results)

# %% [markdown]
# In the explorer it stands on the menu of methods; **Train** takes it.

# %% tags=["code"]
BanditExplorer(
    "drawn-ppo", method="gentle", policy="table", learning_rate=0.1, seeds=1, collections=20, hide=("state",)
)

# %% [markdown]
# ## Spend a budget
#
# You may draw 3 200 samples, no more. A *plan* says how: the method; how often samples are drawn; how often each is used,
# in *passes*; and the learning rate. Samples that are all drawn at once are the reference's: that is offline. Drawn 32
# times, each hundred comes from the policy as it is then. Nothing else is counted: passes are free.

# %%
from modeseek.bandit.explore.budget.questions import predict_plan

plans = predict_plan()
plans

# %% [markdown]
# Choose a plan. On the left is what it earns on three seeds. Settle on one before you set *score*: your plan is then scored
# on five fresh seeds, and the best plan that is known shows too. 0 is where the reference is, 1 where the best known ends.
# That one was chosen as you choose, on the three seeds: who is ahead of hundreds was also lucky there.
#
# Recorded are 1, 2, 8 and 32 collections, 1, 4 and 16 passes, and a few learning rates. For any other plan press **Train**: it
# has three seeds, so a wider interval. Your own method is on the menu too.

# %%
from modeseek.bandit.explore import BudgetExplorer

budget = BudgetExplorer("far-peak")
budget.after(plans)

# %% [markdown]
# ## Reveal, once more

# %%
plans.reveal

# %% [markdown]
# ## Exercises
#
# **1.** Draw a reward whose best response is as far from the reference as any that eleven knots can make best.

# %% tags=["exercise"]
from modeseek.bandit.explore.own.questions import check_farthest

check_farthest(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The best response repeats the best token, and lies -10 log π_ref(token) away. The reference is thinnest to the right, just
# before its last bin, which holds all that lies beyond.
#
# ```python
# check_farthest(BanditExplorer(knots=(0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)))
# ```
# </details>

# %% [markdown]
# **2.** Write DPO with an offset, $-\log\sigma(\beta m - \delta)$, where $m$ is the margin of log-ratios, β is `hyper.beta` and
# δ is `hyper.target_margin`. Register it, and give its name.

# %% tags=["exercise"]
from modeseek.bandit.explore.own.questions import check_offset

check_offset(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# A loss for each pair, `[P, N, N]`: which of them count, the rewards say.
#
# ```python
# import jax
#
#
# def offset(batch, hyper):
#     margins = batch.log_ratios[:, :, None] - batch.log_ratios[:, None, :]
#     return -jax.nn.log_sigmoid(hyper.beta * margins - hyper.target_margin)
#
#
# check_offset(modeseek.own_method("offset_dpo", offset, title="DPO with an offset", on_policy=False))
# ```
# </details>

# %% [markdown]
# **3.** The far peak again, and no method that pushes down: get a score of .9 with as few collections as you can. Give the
# explorer, or its state.

# %% tags=["exercise"]
from modeseek.bandit.explore.budget.questions import check_plan

check_plan(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Of the recorded numbers of collections, 1, 2, 8 and 32, eight is the smallest at which Best-of-N or RWR gets there.
#
# ```python
# check_plan(BudgetExplorer("far-peak", method="best_of_n", collections=8, learning_rate=0.3))
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper | here |
# |---|---|
# | Where the peak is far, methods that sample on-policy and push down get farther than offline ones (sections 4 and 5; Table 3: PPO and on-policy IPO .92, offline IPO .82). | PPO crosses to the high hill: see the first reveal above, and train offline IPO on your reward to compare. How far offline ones get, the rows below say. |
# | A negative gradient moves mass faster, also to where the policy hardly samples (section 5). | Two seeds of *Gentle REINFORCE* and REINFORCE do not tell. Nor do they differ in the push down alone: halved there, the advantages no longer sum to zero, and all responses are pulled up a little. How many seeds would it take ([09](09_reproduce_paper.ipynb))? |

# %% [markdown]
# With a budget, each claim is a difference between two best plans. Intervals of 95 %, one by one, over the seeds that score:

# %%
from modeseek.bandit.explore.budget.claims import claims

claims()

# %% [markdown]
# ## What to keep
#
# *Which method, when?* was the course's question. What it found, with where to look:
#
# - **Fresh samples** pay for most methods. In notebook 08's whole map only on-policy methods may be the best in 113 of
#   132 cells, and in 06 Best-of-N ends the higher the more often it refreshes. They do not pay always: above, on the
#   far peak, no difference is seen with DPO and IPO.
# - **Pushing down** pays on fixed data. Above, the best offline plan that pushes down ends .77 above the best that only pulls
#   up; with fresh samples no such difference is seen.
# - **A push feeds whom the softmax chooses**, not what is good: an answer that nobody compared (02), the likeliest
#   response (03), a response that is in no data set (04).
# - **A method with a target stops there.** IPO's margin of 10 nats holds on-policy IPO at .50 on R1, and five times that
#   margin lets it reach 1.00 (09).
# - **An order of two methods hangs on more than the methods**: on the learning rate (00), on the seeds (05), on the nats
#   that a reward costs (00, 05), on what *clipped* means (09). Compare tuned methods, at equal nats, on enough seeds.
