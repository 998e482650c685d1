"""Forward against reverse KL, exactly: distributions over K categories with one independent logit each.

Reading order: `simplex` (a distribution as log-probabilities) · `problem`, `presets` (targets, references, rewards) ·
`divergences` and `methods` (what is descended) · `optimizers` (how) · `dynamics` (a whole trajectory) · `metrics` ·
`closed_forms`, `criteria`, `lemmas` (the theory) · `search`, `theorem_statements`, `lemma_statements`, `theory` (its
table) · `study`, `commands` (what `modeseek kl` and `modeseek theory` compute and print). Of whole responses of the
bandit: `frontier` (what can be earned at what distance) · `ipo_optimum`, `ipo_product` (where on-policy IPO rests) ·
`collapse` (which policies hold one response).
"""
