"""Texts of which a tokenizer makes no control token."""

from transformers import PreTrainedTokenizerBase

# The form of an answer, which rows are written in: some tokenizers have tokens for it.
_FORM = ("<think>", "</think>", "<answer>", "</answer>")


class PlainText:
    """Takes control tokens out of texts: the added tokens that are special, or written as markup.

    `control`: their ids.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.control = frozenset(
            index
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.content not in _FORM and (token.special or token.content.startswith("<"))
        )

    def __call__(self, text: str) -> tuple[str, list[str]]:
        """The text without them, also those that appear when others are taken out, and what was taken out."""
        found = []
        while spans := self._spans(text):
            found += [text[start:end] for start, end in spans]
            for start, end in reversed(spans):
                text = text[:start] + text[end:]
        return text, found

    def _spans(self, text: str) -> list[tuple[int, int]]:
        # By the tokenizer itself: it may normalise a text before it looks for its tokens.
        made = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = zip(made["input_ids"], made["offset_mapping"], strict=True)
        return [span for index, span in spans if index in self.control and not self._is_unknown(index, text, span)]

    def _is_unknown(self, index: int, text: str, span: tuple[int, int]) -> bool:
        # What has no token of its own is no control token, though its stand-in is a special one.
        unknown = self._tokenizer.unk_token
        return index == self._tokenizer.unk_token_id and text[slice(*span)].strip() != unknown
