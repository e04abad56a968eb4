"""Token sequences, labels and positions against the processor and the model themselves."""

import pytest
import torch

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.data.selection import dataset_files, select_sft
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_json
from nep.model.samples import SampleBuilder, content_parts
from nep.model.visual import Visuals
from nep.train.rl.questions import load_questions
from nep.train.sft import load_samples, text_samples


@pytest.fixture
def builder(parts) -> SampleBuilder:
    return SampleBuilder(parts.processor, parts.model, parts.cache)


def processed(parts, messages, key: str, generate: bool):
    """What the processor makes of the messages and the cached frames."""
    structured = [{"role": turn["role"], "content": content_parts(turn["content"])} for turn in messages]
    text = parts.processor.apply_chat_template(structured, tokenize=False, add_generation_prompt=generate)
    frames = parts.cache.frames(key).permute(0, 3, 1, 2)
    # Four frames at 4 a second: two temporal patches of 0.5 s, as in the cache.
    metadata = [{"total_num_frames": len(frames), "fps": 4.0, "frames_indices": list(range(len(frames)))}]
    return parts.processor(
        text=[text],
        videos=[frames],
        video_metadata=metadata,
        do_resize=False,
        do_sample_frames=False,
        return_tensors="pt",
    )


def rows_of(parts):
    return read_json(parts.run / "convert" / "sft" / "next_event.json")


def test_dialogues_are_the_processors_tokens_up_to_the_end_token(parts) -> None:
    for row, sample in zip(rows_of(parts), parts.dialogues, strict=True):
        whole = processed(parts, row["messages"], sample.video_keys[0], generate=False)["input_ids"][0]
        assert sample.input_ids.tolist() == whole[: len(sample)].tolist()
        assert parts.processor.decode(whole[len(sample) :]) == "\n"


def test_prompts_are_the_processors_tokens(parts) -> None:
    rows = read_jsonl(parts.run / "convert" / "grpo" / "next_event_mc.jsonl")
    for row, sample in zip(rows, parts.prompts, strict=True):
        messages = [{"role": "user", "content": row["problem"]}]
        whole = processed(parts, messages, sample.video_keys[0], generate=True)["input_ids"][0]
        assert sample.input_ids.tolist() == whole.tolist()
        assert sample.labelled == 0


def test_only_the_answer_and_its_end_token_are_labelled(parts) -> None:
    for row, sample in zip(rows_of(parts), parts.dialogues, strict=True):
        labelled = parts.processor.decode(sample.input_ids[sample.prompt_length :])
        assert labelled == row["messages"][-1]["content"] + "<|im_end|>"
        assert parts.processor.decode(sample.input_ids[: sample.prompt_length]).endswith("<|im_start|>assistant\n")


def test_positions_are_those_the_model_computes_from_the_processors_output(parts) -> None:
    row, sample = rows_of(parts)[0], parts.dialogues[0]
    inputs = processed(parts, row["messages"], sample.video_keys[0], generate=False)
    positions, _ = parts.model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        video_grid_thw=inputs["video_grid_thw"],
        second_per_grid_ts=inputs["second_per_grid_ts"],
    )
    assert sample.position_ids.tolist() == positions[:, 0, : len(sample)].tolist()


def test_logits_from_cached_features_equal_the_models_own_on_pixels(parts) -> None:
    row, sample = rows_of(parts)[1], parts.dialogues[1]
    inputs = processed(parts, row["messages"], sample.video_keys[0], generate=False)
    with torch.no_grad():
        pixels = parts.model(**inputs).logits[0, : len(sample)]
        cached = parts.model(
            input_ids=sample.input_ids[None],
            position_ids=sample.position_ids[:, None],
            **parts.visuals.inputs(sample.video_keys),
        ).logits[0]
    torch.testing.assert_close(cached, pixels, atol=1e-5, rtol=0)


def test_unfrozen_towers_get_pixels_with_the_same_result_and_a_gradient(parts) -> None:
    sample = parts.dialogues[0]
    pixels = Visuals(parts.cache, parts.processor, [], torch.device("cpu")).inputs(sample.video_keys)
    assert "pixel_values_videos" in pixels
    inputs = {"input_ids": sample.input_ids[None], "position_ids": sample.position_ids[:, None]}
    computed = parts.model(**inputs, **pixels).logits
    cached = parts.model(**inputs, **parts.visuals.inputs(sample.video_keys)).logits
    torch.testing.assert_close(computed, cached, atol=1e-5, rtol=0)
    weight = parts.model.model.visual.merger.mlp[0].weight
    (gradient,) = torch.autograd.grad(computed.sum(), weight)
    assert gradient.abs().sum() > 0


def test_features_of_another_tower_are_refused(parts) -> None:
    parts.visuals.check(parts.model, parts.dialogues)
    weight = parts.model.model.visual.merger.mlp[0].weight
    original = weight.detach().clone()
    try:
        weight.data.mul_(1.1)
        with pytest.raises(InputError, match=r"clip 'video-0/first': its cached features do not match this model"):
            parts.visuals.check(parts.model, parts.dialogues)
    finally:
        weight.data.copy_(original)


def test_the_message_content_is_split_at_the_video_mark() -> None:
    assert content_parts("see <video>what?") == [
        {"type": "text", "text": "see "},
        {"type": "video"},
        {"type": "text", "text": "what?"},
    ]


def test_a_missing_video_placeholder_names_the_record(builder: SampleBuilder) -> None:
    with pytest.raises(InputError, match="record r-1: 0 video placeholders for 1 videos"):
        builder.prompt("r-1", [{"role": "user", "content": "what?"}], ["video-0/first"])


def test_a_dialogue_without_an_answer_names_the_record(builder: SampleBuilder) -> None:
    with pytest.raises(InputError, match="record r-2: the last message must be the assistant's answer"):
        builder.dialogue("r-2", [{"role": "user", "content": "what?"}], [])


def test_a_row_of_text_only_has_plain_positions(builder: SampleBuilder) -> None:
    turns = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "B"}]
    sample = builder.dialogue("text", turns, [])
    assert sample.position_ids.tolist() == [list(range(len(sample)))] * 3


def test_a_sample_above_the_limit_is_refused_not_truncated(parts, builder: SampleBuilder) -> None:
    sft = Sft(max_tokens=40)
    files = dataset_files("sft", sft, parts.run / "convert")
    with pytest.raises(InputError, match=r"record video-\d/sft: \d+ tokens, above sft.max_tokens = 40"):
        load_samples(sft, select_sft(files, sft, 0), builder, parts.cache)
    grpo = Grpo(max_prompt_tokens=40)
    questions = {"next_event_mc": parts.run / "convert" / "grpo" / "next_event_mc.jsonl"}
    with pytest.raises(InputError, match=r"record question-\d: \d+ prompt tokens, above grpo.max_prompt_tokens = 40"):
        load_questions(grpo, 0, questions, builder, parts.cache)


def test_samples_of_the_warm_up_are_the_same_without_their_videos(parts, builder: SampleBuilder, tmp_path) -> None:
    """Two sets may have rows of the same id; what is not in the cache is left out of both."""
    rows = rows_of(parts)
    write_json(tmp_path / "sft" / "next_event.json", [{**rows[0], "video_id": "gone"}, *rows[1:]])
    write_json(tmp_path / "sft" / "distill.json", [{**rows[1], "messages": rows[2]["messages"]}])
    sft = Sft(datasets={"next_event": None, "distill": None})
    chosen = select_sft(dataset_files("sft", sft, tmp_path), sft, 0)
    samples, _ = load_samples(sft, chosen, builder, parts.cache)
    texts = text_samples(chosen, builder, parts.cache)
    assert len(texts) == len(samples) == len(rows)
    for text, sample in zip(texts, samples, strict=True):
        assert (text.id, text.video_keys, text.visual_end) == (sample.id, (), 0)
        assert text.input_ids[text.prompt_length :].tolist() == sample.input_ids[sample.prompt_length :].tolist()
        assert len(sample) - len(text) >= 4


def test_an_unknown_data_set_names_those_that_exist(parts) -> None:
    with pytest.raises(InputError, match=r"no data set 'nxt'.*there are: next_event"):
        dataset_files("sft", Sft(datasets={"nxt": None}), parts.run / "convert")


def test_rows_whose_video_is_not_cached_are_left_out_and_counted(parts, builder: SampleBuilder, tmp_path) -> None:
    rows = rows_of(parts)
    rows[0] = {**rows[0], "video_id": "gone"}
    write_json(tmp_path / "sft" / "next_event.json", rows)
    chosen = select_sft(dataset_files("sft", Sft(), tmp_path), Sft(), 0)
    samples, left_out = load_samples(Sft(), chosen, builder, parts.cache)
    assert len(samples) == len(rows) - 1
    assert left_out == 1
