"""Which method wins where: maps over the place of the reward's peak and one other condition of the problem."""
