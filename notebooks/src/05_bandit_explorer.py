# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A bandit in training
#
# The problem is that of notebook 00: a response is a row of 10 tokens out of 100, its reward is the mean of its tokens' rewards,
# and the prompt that it answers, another token, has no part in that. The policy is GPT-Nano, a transformer with 3 blocks. It
# starts at the reference: mostly tokens 0 to 35, and 99. Algorithm 1 of Tajwar et al. (2024) is a loop: sample a *collection*
# of responses, score them, take a few gradient steps, sample again. (*Bandit* is the field's name for a problem where one
# choice is made and one reward is given.)
#
# The reference is a histogram of random numbers. They come from a Cauchy distribution, which has very long tails, and
# are sorted into 100 bins of (−1, 1), one per token. What falls outside is *piled up* in the two outer bins; hence
# token 0 has .31 and token 99 has .07. The paper says that it "clips" them. That may also mean that they are
# *discarded*, and has nothing to do with PPO's clip.
#
# **Question.** What does training look like, token by token?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.bandit.questions import predict_price, predict_wave

wave = predict_wave()
wave

# %%
price = predict_price()
price

# %% [markdown]
# ## Explore
#
# What you see first was recorded: five seeds (runs that differ in their random numbers alone), 40 collections of 100
# responses, 10 gradient steps on each. **Play** it, or move **collection**. On the left, on one token axis: the policy
# beside the reference, the reward, and the best policy that is as far from the reference (dashed); the distribution at
# each position; and the batch that the last gradient steps were taken on, one row per response, pushed up or down.
# (Probabilities and the reward share an axis with a root scale: on it .25 stands at half of the height.) On the right:
# the reward against the step and against its price in nats, below the most that is possible.
#
# Change anything else and press **Train**: it runs here, in the background, and can be cancelled; what was trained until
# then stays. JAX first compiles a program for the shapes of its arrays; so a new policy, or another number of prompts,
# responses or inner steps, takes 10 to 30 s more. Five seeds of GPT-Nano take one to two minutes on two cores; one seed, or
# the table of logits, takes seconds.
#
# β is 0 in the reward of PPO here, and RWR and Best-of-N have no price for distance either. So these do not rest at notebook
# 01's π*, but go on to the best response alone, 62 nats away on R1. DPO has its β and IPO its τ. The reward at the end therefore
# compares methods with different goals; the panel below right asks what was earned at the same distance.

# %%
from modeseek.bandit.explore import BanditExplorer

explorer = BanditExplorer(preset="R1-ppo", step=8)
explorer.after(wave, price)

# %% [markdown]
# The same reward for offline IPO, which sees nothing but 100 samples of the reference, over and over; only the player
# is left in sight (`hide=`). Look at the five grey curves: three end between .41 and .45, two at .66 and .75. The first
# three are the seeds of notebook 00, which gave .44 ± .01; they end at .42, .45 and .41 here and at .42, .45 and .44
# there. (Settings and seeds are the same; the program is another one and rounds otherwise, and the third run goes apart
# within 20 steps.) A standard error of three seeds that happen to agree can be far too small.

# %%
everything_else = (
    "method",
    "policy",
    "center",
    "width",
    "location",
    "scale",
    "learning_rate",
    "beta",
    "tau",
    "temperature",
    "clip_epsilon",
    "prompts",
    "responses",
    "inner_steps",
    "collections",
    "seeds",
    "first_seed",
)
BanditExplorer(preset="R1-ipo", hide=everything_else).after(wave, price)

# %% [markdown]
# ## Reveal

# %%
wave.reveal

# %%
price.reveal

# %% [markdown]
# **Why.** Whatever the method, a gradient step follows $\sum_y w(y)\, \nabla_\theta \log \pi_\theta(y)$, θ being the
# network's weights (notebook 01 had logits); methods differ in the weights $w = -\partial L / \partial \log
# \pi_\theta(y)$, and in where $y$ comes from. Weighted likelihood (Best-of-N, RWR) has $w \ge 0$. Policy gradients have
# $w \propto$ the advantage, the reward standardised over the batch (eq. 19); samples and advantages are held fixed
# while the gradient is taken. DPO (eq. 3 with the implicit reward of eq. 4) and IPO (eq. 20) push the better of two
# responses up and the worse one down: the *negative gradient* of section 5.
#
# The dashed curve is exact. Of all policies at most $K$ nats from the reference the best draws every token from
# $\pi_{\text{ref}}(a) \exp(\lambda\, r(a))$, the optimum of eq. 2 with $\beta = 1/(10 \lambda)$, since the reward is a mean
# over ten tokens.

# %% [markdown]
# ## Exercises
#
# **1.** After which collection is PPO's mean expected reward on R1 above one half for the first time?

# %% tags=["exercise"]
from modeseek.bandit.explore.bandit.questions import check_half

check_half(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Scrub, or look into the explorer's table: the mean over seeds at every tenth gradient step.
#
# ```python
# reward = explorer.model.run.mean("expected_reward")
# check_half(int((reward > 0.5).argmax()))
# ```
# </details>

# %% [markdown]
# **2.** Best-of-N on ten prompts with ten responses each: its loss is minus the mean log-likelihood of the best response of
# every prompt. What is the weight w of a best response, and of any other one?

# %% tags=["exercise"]
from modeseek.bandit.explore.bandit.questions import check_best_of_n

check_best_of_n(best=..., others=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# L = -(1/10) Σ log π(best of prompt), so w = 1/10 for each of the ten, and 0 for the ninety others.
#
# ```python
# check_best_of_n(best=0.1, others=0)
# ```
# </details>

# %% [markdown]
# **3.** At the end of offline IPO on R1 (the second explorer): how much more expected reward could be had at the same
# distance from the reference? To two hundredths.

# %% tags=["exercise"]
from modeseek.bandit.explore.bandit.questions import check_gap

check_gap(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The caption gives both numbers; or ask the view-model for the frontier at the run's nats.
#
# ```python
# import numpy as np
#
# model = BanditExplorer("R1-ipo").model
# nats, earned = model.run.mean("kl_to_reference")[-1], model.run.mean("expected_reward")[-1]
# check_gap(np.interp(nats, model.result.frontier_kl, model.result.frontier_reward) - earned)
# ```
# </details>

# %% [markdown]
# **4.** Make PPO on R1 pass one half in fewer gradient steps than the recorded run: change what you like but the problem,
# the method and the policy, train, and hand over the explorer. (One seed and few collections are enough, and faster.)

# %% tags=["exercise"]
from modeseek.bandit.explore.bandit.questions import check_faster

check_faster(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# The learning rate sets the size of the steps; three times the recorded one still trains well. (The optimizer is Adam: it
# divides each weight's step by the size of its recent gradients, so that all weights take steps of like size.)
#
# ```python
# faster = BanditExplorer("R1-ppo", learning_rate=0.003, seeds=1, collections=8)
# check_faster(faster.train())
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper (sections 5 and J) | these recordings, 5 seeds, 40 of 100 collections, one learning rate each; the reference's tails piled up in its outer bins |
# |---|---|
# | Negative gradients move the policy further, in KL, than weighted likelihood does. | At equal reward PPO is *nearer* to the reference than Best-of-N (the second prediction), and REINFORCE, which pushes down as well, is not. After equally many steps, 200 in notebook 00, PPO is 43 nats away, RWR 58 and Best-of-N 61. What they reach in the end is the same token. Offline IPO does go far for what it earns: exercise 3. |
# | On-policy sampling matters more on R1 than on R2. | Offline IPO ends at .54 ± .07 on R1 and .74 ± .02 on R2, PPO at 1 on both; but these differ in more than their samples. And that is so at the rate .003: at .03 offline IPO ends higher on R1, at .73, than on R2, at .61 ([09](09_reproduce_paper.ipynb)). On-policy IPO, which differs in nothing else, ends at .50 ± .02 on R1 (R2 is in notebook 00). |
# | On-policy IPO reaches the ceiling (figure 19). | Look at the preset `R1-on-policy-ipo`. On R1 that hangs on whether the reference's tails are piled up or discarded, which is the question of [09](09_reproduce_paper.ipynb); `docs/explanation/frontier.md` says more. |

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "bandit")), sep="\n")
