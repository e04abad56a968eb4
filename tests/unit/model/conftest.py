from support.tiny_checkpoint import tiny_checkpoint
from support.training_fixtures import engine_of, parts, paths_to, run_folder, torch_settings

__all__ = ["engine_of", "parts", "paths_to", "run_folder", "tiny_checkpoint", "torch_settings"]
