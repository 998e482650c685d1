"""Rewards of responses: functions of ids and texts, and reward models that are trained on preferences."""
