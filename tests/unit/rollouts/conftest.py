from support.training_fixtures import paths_to, run_folder

__all__ = ["paths_to", "run_folder"]
