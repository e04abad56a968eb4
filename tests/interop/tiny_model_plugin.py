"""ms-swift takes the ids of Qwen's own tokenizer for granted; the tiny model has its own, and writes media tokens."""

from swift.template.templates.qwen import Qwen2VLTemplate
from transformers import AutoConfig, GenerationConfig

CONFIG = AutoConfig.from_pretrained("models/base")
Qwen2VLTemplate.image_token_id = CONFIG.image_token_id
Qwen2VLTemplate.video_token_id = CONFIG.video_token_id
MEDIA = [CONFIG.image_token_id, CONFIG.video_token_id, CONFIG.vision_start_token_id, CONFIG.vision_end_token_id]
initialise = GenerationConfig.__init__


def without_media(self: GenerationConfig, **options: object) -> None:
    """An untrained model would write placeholders of videos that it was not given."""
    initialise(self, **{**options, "suppress_tokens": MEDIA})


GenerationConfig.__init__ = without_media
