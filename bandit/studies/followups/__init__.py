"""Papers of others whose claims a bandit or a simplex can decide: what was claimed, what comes out, and how sure.

`followup` (what a follow-up is) → one file a paper (its cells, claims and figure) → `study` (all of them) → `running`
(running cells, resumably), `store` (what comes with the package) → `report` and `document`. To add a paper, write its
file and name its `FOLLOWUP` in `study`.
"""
