# What is asked for before the configuration is read.
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from nep.errors import InputError
from nep.workflow.path import extend_path
from nep.workflow.checks import check_conda, check_folder, name_user

extend_path(Path(workflow.basedir))
name_user()
try:
    check_folder(Path(workflow.basedir))
    check_conda({str(method) for method in workflow.deployment_settings.deployment_method})
except InputError as error:
    raise WorkflowError(str(error)) from None
