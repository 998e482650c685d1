# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # DPO out of distribution
#
# A preference data set compares a few of all possible answers. The loss of DPO and IPO reads the policy at those answers
# alone; what the others get is decided by the normaliser, the sum that a softmax divides by. Reinforcement learning with a
# KL penalty samples its answers itself and is told what each is worth.
#
# **Question.** Three answers, one comparison: what happens to the one never seen?

# %% [markdown]
# ## Predict

# %%
from modeseek.bandit.explore.out_of_distribution.questions import predict_stopping, predict_unseen

unseen = predict_unseen()
unseen

# %%
stopping = predict_stopping()
stopping

# %% [markdown]
# ## Explore
#
# Tabular policies (one logit per answer) from the same reference; all gradients are exact. Adam makes steps of them: it
# divides a logit's gradient by the size of its recent ones, so that a small gradient moves its logit about as far as a
# large one. DPO and IPO are given comparisons of y₁ and y₂ only, with P(y₁ ≻ y₂) = σ(r₁ − r₂); RL, which is notebook
# 01's policy gradient with its KL, is given the rewards of all three. A point of the triangle is a policy: the nearer
# to a corner, the more of that answer. Open markers: where each comes to rest. Things to try:
#
# - play the presets `y1-rare` and `y1-very-rare`: the curve in the middle is a closed form. Do DPO and IPO leave it?
# - `y1-common`: what is different about its reference, and what follows from that?
# - **β** and **τ**: do they move the curve, or the place on it?
# - **r₃ − r₂**: who reacts?

# %%
from modeseek.bandit.explore import OutOfDistributionExplorer

explorer = OutOfDistributionExplorer(preset="y1-rare", step=30)
explorer.after(unseen, stopping)

# %%
OutOfDistributionExplorer(preset="y1-very-rare", step=70, hide=("state", "export")).after(unseen, stopping)

# %% [markdown]
# ## Reveal

# %%
unseen.reveal

# %%
stopping.reveal

# %% [markdown]
# **Why.** DPO and IPO read one number of the policy, the margin m = log(π₁/π₂) − log(p₁/p₂). The normaliser cancels in it: m is
# f₁ − f₂ plus a constant, with slope +1 in the logit f₁, −1 in f₂ and 0 in f₃. So gradient descent moves the logits of y₁ and y₂
# by s and −s, and leaves y₃'s where it was:
#
# $$\pi_3(s) = \frac{p_3}{p_3 + p_1 e^{s} + p_2 e^{-s}} \;\le\; \frac{p_3}{p_3 + 2\sqrt{p_1 p_2}}, \quad\text{with equality at}\quad
# s = \tfrac12 \ln\frac{p_2}{p_1}.$$
#
# If p₂ > p₁, y₃ first *gains*. Its mass is above p₃ until s = ln(p₂/p₁), which is twice the s of the peak. DPO rests at 2s = (r₁ −
# r₂)/β, IPO at 2s = (2 P(y₁ ≻ y₂) − 1)/(2τ) (its target margin where labels are certain): both on this curve.
#
# The optimum of KL-regularised RL, π_ref exp(r/β)/Z, gives y₃ what y₃ is worth, since RL is told. DPO's rest has the same form, with
# rewards of its own: (r₁ − r₂)/2 for y₁, −(r₁ − r₂)/2 for y₂, and 0 for y₃, exactly half-way between the two. The comparison says
# nothing about r₃, and the softmax puts it there. If the data compared all three answers, DPO would rest at RL's optimum. (Eq. 6
# prints the KL term of its loss with the wrong sign; a loss needs + β KL, and that is what runs here.)

# %% [markdown]
# ## Exercises
#
# In all three DPO's labels are always the same, y₁ ≻ y₂, so that it never comes to rest and s goes on growing.
#
# **1.** From the reference (.01, .64, .35): what is the largest mass that y₃ passes through under DPO? (Two digits.)

# %% tags=["exercise"]
from modeseek.bandit.explore.out_of_distribution.questions import check_peak

check_peak(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# p₁eˢ + p₂e⁻ˢ is smallest where both are √(p₁p₂) = .08: .35/(.35 + .16).
#
# ```python
# check_peak(0.35 / (0.35 + 0.16))
# ```
# </details>

# %% [markdown]
# **2.** The same reference. At which s > 0 is y₃'s mass back at .35?

# %% tags=["exercise"]
from modeseek.bandit.explore.out_of_distribution.questions import check_return

check_return(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# p₁eˢ + p₂e⁻ˢ = p₁ + p₂ is solved by eˢ = 1 and by eˢ = p₂/p₁ = 64: s = ln 64 = 4.16.
#
# ```python
# check_return(4.16)
# ```
# </details>

# %% [markdown]
# **3.** Find a reference that gives y₃ .05 at most, and from which DPO nevertheless passes through a policy that answers y₃ at
# least half of the time.

# %% tags=["exercise"]
from modeseek.bandit.explore.out_of_distribution.questions import check_reference

check_reference(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# p₃ ≥ 2 √(p₁p₂) is needed: a preferred answer that the reference hardly knows.
#
# ```python
# check_reference((0.0001, 0.95, 0.0499))
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | claim | here |
# |---|---|
# | Contrastive objectives use the recovered mass for other, out-of-distribution responses, and "this extrapolation might produce good or bad responses" (Tajwar et al., J.5). | Exactly so: π₃(s) does not know r₃. Move **r₃ − r₂** alone: the policies of DPO and IPO stay what they are, only RL's changes. |
# | DPO may find biased solutions that exploit out-of-distribution responses; PPO's KL holds it to the reference there (Xu et al., 2024). | The first half is seen. The second is not tested: RL is told the true r₃ here, while their PPO has a learnt reward, and nothing is learnt of r₃ from this comparison. |
# | Stopping early keeps DPO near the reference. | Near in the margin, not in y₃, whose peak lies on the way (`y1-very-rare`: at s = 3.4, and DPO rests at 5.0). |

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "unseen")), sep="\n")
