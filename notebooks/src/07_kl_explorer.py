# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Forward against reverse KL
#
# The policy gradient with its price β on KL descends β times a *reverse* KL divergence, KL(policy ‖ target), where the target
# is the best policy at that price, notebook 01's π\*. RWR on samples of the reference, a weighted likelihood, descends a
# *forward* one, KL(target ‖ policy) (Lemmas E.1 and E.3 of Tajwar et al., 2024). Offline methods that push
# down have neither as their loss. The paper says that they behave like the first; measured in one exact case, offline DPO and
# IPO behave like the second (`docs/decisions/0080-what-a-flow-seeks.md`).
#
# This notebook is about the two divergences. On a policy with one logit per category both have the same optimum, the target
# itself.
#
# **Question.** Who gets there first, and through what?

# %% [markdown]
# ## Predict
#
# "Reverse KL modifies probability mass more aggressively than the forward KL", says Theorem E.5. It is about one gradient step
# from p towards a target q, and about two categories. Δf is how much the step of forward KL changes log(p₁/p₂), Δr how much
# that of reverse KL does, both divided by the step size η. The theorem claims:
#
# - case 1: for p₁ = p₂ and q₁ > q₂, Δr > Δf;
# - case 2: for p₁ > p₂ and equal targets far enough above p₁, Δr > Δf;
# - case 3: for p₁ > p₂ and equal targets far enough below p₂, Δr < Δf.
#
# Before you look:

# %%
from modeseek.bandit.explore.kl.questions import predict_race, predict_separation

separation = predict_separation()
separation

# %%
race = predict_race()
race

# %% [markdown]
# ## Explore
#
# Both runs start from the hatched bars and descend towards the dashed ones. Below the bars: where the next step pushes
# every category. Things to try:
#
# - move or play **step**; try the presets, which are named after the theorem's cases and the bandit's rewards;
# - drag the top of a bar of the **target** or the **start** (the others keep their proportions), move it with the arrow
#   keys, or type all of them; beyond twelve categories **target of i** moves one;
# - change the **step size**, or the **optimizer**, the way from a gradient to a step. *Adam* divides each logit's step by the
#   size of its recent gradients, so that small and large gradients take steps of like size. The *natural gradient* measures
#   how far a step goes by KL and not by logits. Who gains by either?
# - choose another **pair** i, j: the text below the picture holds it against the theorem's exact criterion.
#
# Where only start and target are given, the expected reward is that of log(q/p₀), the reward whose best policy the target
# is. And "who is first" counts steps at one η for both. That is a convention: their gradients differ in size.

# %%
from modeseek.bandit.explore import KLExplorer

explorer = KLExplorer(preset="ten-alike")
explorer.after(separation, race)

# %% [markdown]
# The bandit's reward R1 on responses of one token, 100 categories; only the player and the step size are left in sight
# (`hide=`):

# %%
everything_else = (
    "categories",
    "seed",
    "beta",
    "target",
    "start",
    "steps",
    "first",
    "second",
    "target_bar",
    "start_bar",
)
KLExplorer(preset="R1", step=45, hide=everything_else).after(separation, race)

# %% [markdown]
# ## Reveal

# %%
separation.reveal

# %%
race.reveal

# %% [markdown]
# **Why.** One step of gradient descent with step size η changes a category by (Lemma E.4)
#
# $$\log\frac{p'_j}{p_j} = \eta\,(q_j - p_j) + Z \quad (12), \qquad
# \log\frac{p'_j}{p_j} = \eta\, p_j \left[\log\frac{q_j}{p_j} + \mathrm{KL}(p\,\|\,q)\right] + Z' \quad (13).$$
#
# Z and Z′ are the same for all categories. Forward KL's push is the difference itself, at most one. Reverse KL's is
# proportional to the mass that is already there: next to nothing on a category that the policy does not know, and
# strong on one that it does, most of all where the policy has much more than the target. Near q both are the same to
# first order, and fade alike. So reverse KL is the more aggressive one *where p already lives*.
#
# Two means say exactly where: the logarithmic one, $L(a, b) = (a - b)/\ln(a/b)$, and the identric one,
# $I(a, b) = e^{-1} (a^a/b^b)^{1/(a-b)}$. Both lie between a and b.
#
# Here the policy can be the target. Where it cannot, the two optima differ, and reverse KL may choose one mode of two, as
# textbooks draw it; `docs/followups.md` has that case for a policy that is one bump.

# %% [markdown]
# ## Exercises
#
# **1.** Two categories with p = .1 each; the target of the first is q₁ = .5. At which q₂ do both divergences separate the
# pair equally? (To .0003. The explorer's verdict says on which side of the boundary a pair is.)

# %% tags=["exercise"]
from modeseek.bandit.explore.kl.questions import check_boundary

check_boundary(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Solve L(.5, q₂) = (.5 - q₂)/ln(.5/q₂) = .1. For small q₂ this is ln(.5/q₂) ≈ 5 - 10 q₂, so q₂ ≈ .5 e⁻⁵ ≈ .0034, and once
# more with that: .5 exp(-4.966) ≈ .0035.
#
# ```python
# check_boundary(0.0035)
# ```
# </details>

# %% [markdown]
# **2.** Build a problem of at most 12 categories in which forward KL is ahead at half of the way in expected reward, and
# reverse KL at nine tenths. Give the explorer, or its state.

# %% tags=["exercise"]
from modeseek.bandit.explore.kl.questions import check_overtaking

check_overtaking(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# Little mass where the target lives keeps reverse KL's first pushes small; a target that is concentrated there lets it
# catch up, because there is mass to be taken from where the target has next to none.
#
# ```python
# check_overtaking(KLExplorer(preset="case3", target="0.02, 0.02, 0.96", start="0.5, 0.45, 0.05"))
# ```
# </details>

# %% [markdown]
# **3.** Case 3 of the theorem: if p₁ > p₂ and q₁ = q₂ lies far enough below p₂, reverse KL cuts the larger one more. Find a
# start and a target of your own with q₁ = q₂ < .05 p₂ where it does *not*: Δr ≥ Δf for the first two categories.

# %% tags=["exercise"]
from modeseek.bandit.explore.kl.questions import check_counter_example

check_counter_example(start=..., target=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# By the exact criterion reverse KL cuts more only while q < I(p₁, p₂) exp(-KL(p ‖ q)): the more the rest of the mass has to
# move, the larger the KL, and the smaller the bound. So let p have next to nothing where q has almost everything.
#
# ```python
# check_counter_example(start=(0.7, 0.2999, 0.0001), target=(0.005, 0.005, 0.99))
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | Theorem E.5 | held against exact steps |
# |---|---|
# | Case 1: for p₁ = p₂ and q₁ > q₂, Δr > Δf. | If and only if p > L(q₁, q₂), the logarithmic mean. The proof needs it and the statement leaves it out: preset `case-1-fails`. |
# | Case 2: for p₁ > p₂ and q₁ = q₂ > c₀ p₁, Δr > Δf. | q > I(p₁, p₂) exp(-KL(p ‖ q)), the identric mean, is exact; any c₀ > 1 suffices for it. |
# | Case 3: for p₁ > p₂ and q₁ = q₂ < c₁ p₂, Δr < Δf. | Fails for every fixed c₁ if KL(p ‖ q) is large: preset `case-3-fails`, and exercise 3. |
#
# `modeseek theory` tries all statements on random instances, and `docs/explanation/categorical.md` lists the criteria.

# %% [markdown]
# ## Take it with you

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "kl")), sep="\n")
