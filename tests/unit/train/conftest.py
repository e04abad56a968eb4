from support.training_fixtures import engine_of, last_checkpoints, parts, paths_to, run_folder, torch_settings

__all__ = ["engine_of", "last_checkpoints", "parts", "paths_to", "run_folder", "torch_settings"]
