"""The FLOPs that MFU is computed from, against torch's own counter."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from nep.config.sft import Sft
from nep.config.training import Lora
from nep.train.runtime.flops import forward_flops, training_flops
from nep.train.sft import sft_batch


@pytest.mark.parametrize("lora", [None, Lora(rank=1)], ids=["full", "adapters"])
def test_flops_are_those_that_torch_counts(parts, engine_of, lora: Lora | None) -> None:
    recipe = Sft(lora=lora)
    engine = engine_of(recipe)
    batch = sft_batch(parts.dialogues, recipe, parts.visuals, engine)
    with FlopCounterMode(display=False) as counter:
        for index, row in enumerate(batch.rows):
            engine.accumulate(-engine.score(row).sum(), last=index == len(batch.rows) - 1)
    counted = sum(flops for kind, flops in counter.get_flop_counts()["Global"].items() if "attention" not in str(kind))
    text = parts.model.config.get_text_config()
    pairs = sum(len(tree) ** 2 / 2 for tree in batch.trees)
    attention = 3 * 4 * text.hidden_size * text.num_hidden_layers * pairs
    assert training_flops(engine.model, batch.trees) - attention == pytest.approx(counted, rel=0.1)
    with FlopCounterMode(display=False) as counter:
        for row in batch.rows:
            engine.score(row)
    counted = sum(flops for kind, flops in counter.get_flop_counts()["Global"].items() if "attention" not in str(kind))
    assert forward_flops(engine.model, batch.trees) - attention / 3 == pytest.approx(counted, rel=0.1)


def test_partitioned_weights_count_as_whole_ones(parts, engine_of) -> None:
    found = []
    for zero in (2, 3):
        recipe = Sft(deepspeed=f"config/deepspeed/zero{zero}.json")
        engine = engine_of(recipe)
        found.append(training_flops(engine.model, sft_batch(parts.dialogues, recipe, parts.visuals, engine).trees))
    assert found[0] == found[1] > 0
