"""The programs that an experiment is exported for."""

from nep.export import easyr1, llamafactory, swift, verl
from nep.export.experiment import ExperimentExport
from nep.files import atomic_path

CONSUMERS = {
    "llamafactory": llamafactory.export,
    "easyr1": easyr1.export,
    "verl": verl.export,
    "swift": swift.export,
}


def export_experiment(job: ExperimentExport) -> None:
    """Write the export of `job` below its run; the folder is complete or absent."""
    with atomic_path(job.run / job.folder) as folder:
        CONSUMERS[job.consumer](job, folder)
