"""The paper's figures on language models, with a verdict on each claim.

Protocols, verdicts, documents and charts are those of `modeseek.bandit.studies`.
"""
