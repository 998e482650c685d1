"""The paper's bandit figures and Table 3: what was claimed, what comes out, and how sure that is.

`settings` (what is run) → `cells` (running it, resumably) → `measures` and `contrasts` (numbers, one a seed) →
`verdicts` (the one rule) over `claims` (data) → `report`.
"""
