"""Studies: what was claimed, what comes out, and how sure that is.

`protocol` (seeds and learning rates) → `cells` (what is tuned and judged as one) → `measures` and `contrasts` (numbers,
one a seed) → `verdicts` (the one rule) over `claims` and `effects` (data) → `study` (targets and their claims), `store`
(results in files), `assess`, `chart` and `document` (tables, a figure, a text). None of these modules knows what is
run: `reproduce` is the study of the paper's bandit, and another study brings its own cells, measures and claims.
"""
