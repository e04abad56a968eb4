"""What writes the export for each program."""

from nep.export import easyr1, llamafactory, swift, verl
from nep.export.experiment import ExperimentExport
from nep.files import atomic_path

_MODULES = {"llamafactory": llamafactory, "easyr1": easyr1, "verl": verl, "swift": swift}


def export_experiment(job: ExperimentExport) -> None:
    """Write the export of `job` below its run; the folder is complete or absent."""
    with atomic_path(job.run / job.folder) as folder:
        _MODULES[job.consumer].export(job, folder)
