"""The benchmark of the demo: where the CPU-seconds of the reduced configuration went, rule by rule."""

import pytest

from demo_seeds import SCHEDULER, shared_out

pytestmark = pytest.mark.e2e

# What a run of the demo's recipe works at; all else is small. A new stage must find its place here.
HEAVY = {"make_tiny_model", "make_demo_data", "train_sft", "train_grpo", "evaluate_model", "encode_shard"}
LIGHT = {
    *("list_source", "fetch_archive", "finish_download", "parse_records", "hash_shard", "merge_hashes"),
    *("split_shard", "merge_split", "convert_datasets", "fetch_model", "merge_encode", "make_controls"),
    *("make_data_card", "make_report"),
}


def test_every_rule_of_the_run_has_its_share(small_run, capsys: pytest.CaptureFixture) -> None:
    folder = small_run.folder / "benchmarks"
    total = 1000.0
    shares = shared_out(total, folder)
    assert set(shares) == HEAVY | LIGHT | {SCHEDULER}
    assert sum(shares.values()) == pytest.approx(total, abs=1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    used = total - shares[SCHEDULER]
    assert 0 < used < total
    with capsys.disabled():
        print("\nCPU-seconds of the reduced demo, by rule:")
        for rule, seconds in shares.items():
            if rule != SCHEDULER:
                print(f"  {rule:18} {seconds:6.1f}  {seconds / used:4.0%}")
