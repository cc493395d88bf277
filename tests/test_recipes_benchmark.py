"""The benchmark of regimes: which cells, what of them is done, and what their figures come to."""

import json

import pytest

from benchmarks import recipes
from enpire_tui.supervisor.selection import Tally, wilson_interval


def scored(name: str, success: int, episodes: int = 200) -> dict:
    told = {"success": success, "failure": episodes - success}
    return {"cell": name, "evaluated": told}


def listed(capsys, *words: str) -> dict:
    assert recipes.main([*words]) in (0, 1)
    return json.loads(capsys.readouterr().out)


def test_every_comparison_is_listed_with_five_seeds(tmp_path, capsys) -> None:
    told = listed(capsys, "--results", str(tmp_path), "--list")
    names = [each["cell"] for each in told["cells"]]
    for arms in recipes.PAIRS.values():
        for arm in arms:
            assert {f"{arm}-{seed}" for seed in range(1, 6)} <= {*names}
    for regime in ("behavior_cloning", "offline_rl", "dagger"):
        assert f"{regime}-1" in names
    assert not any(each["done"] for each in told["cells"])


def test_a_cell_with_a_result_is_not_run_again(tmp_path, capsys) -> None:
    name = "online_rl-plain_sac-1"
    (tmp_path / f"{name}.json").write_text(json.dumps(scored(name, 180)))
    told = listed(capsys, "--results", str(tmp_path), "--only", name)
    assert told["rows"] == [scored(name, 180)]
    assert told["arms"]["online_rl-plain_sac"]["rate"] == 0.9
    assert name not in told["missing"]
    assert "residual-base-1" in told["missing"]


def test_differences_are_paired_by_seed() -> None:
    # Seeds differ by more than arms do: unpaired, nothing would be seen.
    base = {seed: 100 + 15 * seed for seed in range(1, 6)}
    gain = {1: 6, 2: 7, 3: 8, 4: 7, 5: 7}
    rows = {}
    for seed, won in base.items():
        rows[f"residual-base-{seed}"] = scored("", won)
        rows[f"residual-residual-{seed}"] = scored("", won + gain[seed])
    told = recipes.summary(rows, [*base])
    pair = told["pairs"]["residual - base"]

    assert pair["mean"] == pytest.approx(0.035)
    assert pair["differences"] == pytest.approx([gain[seed] / 200 for seed in base])
    # scipy.stats.t.ppf(0.95, 4) = 2.1318; standard error of the five differences.
    assert pair["lower_95"] == pytest.approx(0.035 - 2.132 * 0.003535534 / 5**0.5, abs=1e-6)
    won = sum(base.values())
    wilson = wilson_interval(Tally(success=won, failure=1000 - won))
    assert told["arms"]["residual-base"]["wilson_95"] == wilson
    assert told["pairs"]["bc_regularised - plain_sac"]["lower_95"] is None


def test_settings_are_changed_where_they_stand() -> None:
    text = "a = 1\n[train]\nseed = 0\nhidden = 8\n\n[knobs.residual]\nvalue = 1.0\nlow = 0.0\n"
    told = recipes.changed(text, "train", {"seed": 3, "hidden": 16})
    told = recipes.changed(told, "knobs.residual", {"value": 0.0})
    assert told == text.replace("seed = 0", "seed = 3").replace("= 8", "= 16").replace(
        "value = 1.0", "value = 0.0"
    )
    with pytest.raises(SystemExit, match=r"train\.lr: not there"):
        recipes.changed(text, "train", {"lr": 0.1})
