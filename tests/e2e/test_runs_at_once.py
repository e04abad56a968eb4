"""Two runs of different names, started at the same moment in one checkout."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.workflow import Workplace, hashes

from nep.files import read_json

pytestmark = pytest.mark.e2e

SEEDS = {"one": 3, "two": 4}
ROUNDS = 2
TARGET = "convert"
AGAIN = (TARGET, "--forcerun", "parse_records")


def test_two_runs_in_one_checkout_do_not_disturb_each_other(small_run, workplace: Workplace) -> None:
    configs = {}
    for name, seed in SEEDS.items():
        made = {"source": {"path": f"results/{name}/hub"}, "model": {"path": f"results/{name}/tiny_model"}}
        config = workplace.configure("small", run=name, seed=seed, **made)
        configs[name] = config.rename(workplace.root / f"{name}.yaml")
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        outcomes = list(pool.map(lambda config: workplace.run(config, TARGET), configs.values()))
        for outcome in outcomes:
            assert outcome.status == 0, outcome.text
        # Short runs that begin and end together, again and again.
        for _ in range(ROUNDS):
            forced = list(pool.map(lambda config: workplace.run(config, *AGAIN), configs.values()))
            assert [outcome.status for outcome in forced] == [0, 0], "\n".join(outcome.text for outcome in forced)

    alone = hashes(small_run.folder)
    one, two = (hashes(workplace.root / "results" / name) for name in SEEDS)
    assert one == {name: alone[name] for name in one}
    assert {"convert/manifest.json", "split/manifest.jsonl", "convert/futurebench.jsonl"} < set(one)
    assert two["convert/manifest.json"] != one["convert/manifest.json"], "each run has its own seed"
    assert read_json(workplace.root / "results/two/convert/manifest.json")["files"]
    for config in configs.values():
        assert "Nothing to be done" in workplace.run(config, TARGET).text
