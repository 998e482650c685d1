# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The bandit's lessons, on language models
#
# A language model answers a prompt; the reward is the length of its answer. **Min Length** prefers the shorter one: like
# R1 of the bandit, its peak is where the reference hardly goes. **Mode Length** prefers what is nearer to the
# reference's own mean length: like R2, its peak is where the reference is anyway.
#
# **Question.** Does the bandit's story survive in a language model?
#
# The recorded models are small: a GPT-NeoX of 0.2 million parameters, trained from scratch on the docstrings of Python's
# library (SFT, supervised fine-tuning: the likelihood of given text is raised) and fine-tuned by notebook 01's methods.
# A reward model of preferences is what on-policy methods learn from; the true length, the *gold* reward, is what is
# drawn: a length, and no quality, so that the best response is an empty one. Learning rates are tuned on two seeds, and ten
# fresh ones are judged (`modeseek llm reproduce`), half as many as a verdict on the bandit takes.

# %% [markdown]
# ## Predict

# %%
from modeseek.llm.explore.questions import predict_negative_gradient, predict_on_policy, predict_where

where = predict_where()
where

# %%
on_policy = predict_on_policy()
on_policy

# %%
negative_gradient = predict_negative_gradient()
negative_gradient

# %% [markdown]
# ## The recorded runs
#
# Every method on Min and Skew Length (figure 10; Skew Length is Min Length on preferences between truncated answers):
# length above, and below it the gold reward (*expected reward* on the axis) against what it costs in KL.

# %% tags=["varies"]
from modeseek.llm.explore.recorded import Recorded

Recorded("fig10").picture.after(where, on_policy, negative_gradient)

# %% [markdown]
# The same methods on Mode Length (figure 20). Mind the scale of the left panel.

# %% tags=["varies"]
Recorded("fig20").picture.after(where, on_policy, negative_gradient)

# %% [markdown]
# Offline, with a negative gradient and without (figure 6):

# %% tags=["varies"]
Recorded("fig6").picture.after(where, on_policy, negative_gradient)

# %% [markdown]
# ## Reveal

# %% tags=["varies"]
where.reveal

# %% tags=["varies"]
on_policy.reveal

# %% tags=["varies"]
negative_gradient.reveal

# %% [markdown]
# ## What carries over
#
# What the paper teaches, with the verdict on the bandit (the runs of notebook 09) beside the one here. The bandit's
# pairs are IPO's, those here DPO's. B is the number of samples per collection, M that of a minibatch. *Undecided* says
# that the seeds do not tell, not that there is no difference; *shown, not judged*, that there are fewer than the twenty
# seeds that notebook 09's rule asks for. Verdicts in the last column rest on ten, because runs take longer; by that
# rule they too would be shown, and not judged. Read *reproduced* there as weaker. What is shown of B is not notebook
# 06's picture: there 1 000 samples were all, here they are 100 000, at tuned rates, and Best-of-N gets to the top with
# any B.

# %% tags=["varies"]
from modeseek.llm.explore.lessons import carries_over

carries_over()

# %% [markdown]
# That pushing down helps offline holds here for Min Length only. On Skew Length Pref-FT ended shorter than DPO, whose
# seeds lie between 0 and 24 tokens; figures 6 and 10 show the means, and ten seeds leave it undecided.
#
# **What a bandit cannot show.** A response of a language model ends with a token of its own, EOS. The paper's code trains
# it, and a response's first token, in some methods and not in others; whoever does not train EOS can learn *when* to stop
# only by way of the other tokens. Here each method is trained in four ways, and each is tuned for itself. Without EOS RWR's
# responses get longer. A likely reason: it pushes all other tokens of its samples up and none down, and EOS loses beside them.

# %% tags=["varies"]
eos = Recorded("eos")
eos.picture

# %% tags=["varies"]
eos.verdicts

# %% [markdown]
# ## A run of your own
#
# SFT from scratch (a quarter of the recorded reference's steps), then Algorithm 1 with the recorded runs' settings and
# learning rates: about a minute on two idle cores, most of it compiling. Two things differ from the recorded runs: there is no
# reward model, the policy learns from the true length; and SFT was shorter. So this is no test of what was recorded: RWR may
# well end below DPO here. It needs `'.[notebooks,llm]'`.

# %% tags=["varies"]
from modeseek.llm.explore.live import begin, tune_live

start = begin()

# %% tags=["varies"]
live = tune_live(start, "on_policy_dpo", "rwr")
live

# %% [markdown]
# ## Exercises
#
# **1.** Which of figure 10's methods sample for themselves *and* push some of their responses down? Give the set of their
# names: `on_policy_dpo`, `dpo`, `ppo`, `rwr`, `pref_ft`.

# %% tags=["exercise", "varies"]
from modeseek.llm.explore.questions import check_both

check_both(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# On-policy are DPO, PPO and RWR; RWR's weights exp(r/β) are never negative. The check says where each method ended.
#
# ```python
# check_both({"ppo", "on_policy_dpo"})
# ```
# </details>

# %% [markdown]
# ## What to try next
#
# - `tune_live(start, "ppo", "best_of_n")`: the same programs, so seconds; also `"reinforce"`, another `seed=`, another
#   `learning_rate=`. How far apart do two seeds of one method end?
# - `begin(sft_steps=600)`: the recorded reference's own length of training.
# - `Recorded("fig11").picture` and `.verdicts`: PPO with four times as many samples per collection (figure 11), and so
#   for every figure with curves.
# - `modeseek llm demo`: six methods on a model of 1.3 million parameters, with a reward model, in five minutes.
# - `modeseek llm reproduce eos --scale gpu`: the same study on a model of 34 million parameters, for one accelerator.
