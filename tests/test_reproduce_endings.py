"""Tables of what single runs do, on curves that are known."""

import json
import re

import numpy as np
import pytest
from reproduce_cases import fake_cell

from modeseek.bandit.categorical.frontier import point_mass_nats, reward_at
from modeseek.bandit.studies.reproduce import endings
from modeseek.bandit.studies.reproduce.cells import FIRST_STEPS, FRESHNESS, HEADLINES, HEADLINES_WITHIN
from modeseek.bandit.studies.reproduce.store import responses_in
from modeseek.bandit.studies.reproduce.targets import FIG2, FIG19, WHOSE_SAMPLES

IPO, RWR = HEADLINES["on_policy_ipo", "R1"], HEADLINES["rwr", "R1"]


def row(table, name):
    """The entries of the row that begins with a name."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [entry.strip() for entry in line.split("|")[1:-1]]


def lottery():
    """Twenty fresh seeds: five reach .4 at step 10 and 1.0 later, fifteen stay at .3."""
    cell = fake_cell(0.3, 0.0)
    cell["expected_reward"][5:, :] = 0.3
    cell["expected_reward"][20:, 1] = 0.4
    cell["expected_reward"][20:, 2:] = 1.0
    return cell


def test_a_cells_row_says_what_its_runs_do():
    name, rate, mean, middle, high, steps, there, _ = row(endings.endings({IPO: lottery()}), IPO.name)
    assert (name, rate) == (IPO.name, "0.01")
    assert mean == f"{0.25 + 0.75 * 0.3:.3f} ± {np.std([1.0] * 5 + [0.3] * 15, ddof=1) / np.sqrt(20):.3f}"
    assert middle.startswith("0.300 (0.300 … ")  # the best quarter is left out
    assert (high, steps, there) == ("25%", "never", "5 of 20")
    quick = lottery()
    quick["expected_reward"][5:16, 3:] = 0.8
    assert row(endings.endings({IPO: quick}), IPO.name)[5:7] == ["30", "16 of 20"]


def test_who_collapsed_is_counted_where_there_is_a_frontier():
    """Five seeds on the best token's point mass, the others where the reference is."""
    cell = lottery()
    there = responses_in(cell)
    cell["kl_to_reference"][5:, :] = 0.0
    cell["expected_reward"][5:20, :] = float(there.reference @ there.token_rewards)
    cell["kl_to_reference"][20:, 2:] = point_mass_nats(there)
    assert row(endings.endings({IPO: cell}), IPO.name)[-1] == "5 · 15 · 0"
    experiment = json.loads(cell.attrs["identity"])["experiment"]
    experiment["conventions"]["reference_model"] = "initial_policy"
    cell.attrs["identity"] = json.dumps({"experiment": experiment})
    assert row(endings.endings({IPO: cell}), IPO.name)[-1] == "—"


def test_the_better_of_two_runs_is_counted_for_claims_about_ends():
    results = {IPO: lottery(), RWR: fake_cell(0.5, 0.0)}
    found = endings.improvements(FIG19, results)
    assert re.search(rf"\| {IPO.name} \| {RWR.name} \| 0\.250 ", found)
    assert len(found.splitlines()) == 3
    assert endings.improvements(FIG2, {}) == ""


def test_claims_on_the_same_cell_are_named():
    said = endings.shared_cells(FIG19, {IPO: lottery(), RWR: fake_cell(0.5)})
    wanted = sum(IPO in claim.contrast.cells for claim in FIG19.claims)
    assert said == f"Verdicts that share a cell are not independent: {IPO.name} ({wanted})."
    assert endings.shared_cells(FIG19, {}) == "No two verdicts share a cell."
    assert endings.shared_cells(FIG2, {}) == ""


def test_changes_of_one_cell_are_named_too():
    results = {cell: fake_cell(0.5) for cell in FRESHNESS.values()}
    shared = "on_policy_dpo-B100-R1 (3), on_policy_ipo-B100-R1 (3)"
    assert endings.shared_cells(WHOSE_SAMPLES, results) == f"Verdicts that share a cell are not independent: {shared}."


def test_a_trade_off_stands_beside_the_most_that_its_budget_allows():
    within = HEADLINES_WITHIN["ppo", "R1"]
    cell = fake_cell(0.6, 0.0)  # its KL is 20 times its reward
    found = row(endings.trade_off({within: cell}), within.name)
    for entry, nats in zip(found[2:], endings.BUDGETS, strict=True):
        value, most = re.fullmatch(r"(.*) ± 0\.000 of (.*)", entry).groups()
        # Lines between measurements of a curve on which reward is a twentieth of the KL.
        assert float(value) == pytest.approx(min(nats / 20, 0.6), abs=6e-3)
        assert float(most) == pytest.approx(float(reward_at(responses_in(cell), nats)), abs=5e-4)
    assert endings.tables(FIG2, {}) == []
    lines = endings.tables(FIG19, {IPO: lottery(), within: cell})
    assert sum(within.name in line for line in lines) == 1


def test_first_steps_have_a_table_of_their_own():
    early = FIRST_STEPS["ppo", "R1"]
    cell = fake_cell(0.5, 0.0)
    cell = cell.assign(expected_reward=0.01 * cell["step"].clip(max=50) + 0 * cell["expected_reward"])
    found = row(endings.first_steps({early: cell}), early.name)
    assert found[2] == "0.250 ± 0.000"  # the mean of 0 to .5 over fifty steps, whatever comes later
    assert endings.tables(FIG19, {early: cell}) == [endings.first_steps({early: cell}), ""]
