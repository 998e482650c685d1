"""The paper's bandit figures and Table 3: what was claimed, what comes out, and how sure that is.

`protocols`, `measures`, `cells` (what is run) → `running` (running it, resumably) and `store` (what comes with the
package) → `claims` and `targets` (data) → `draw`, `report` and `document`.
"""
