"""Found by a trial's Python before the script starts: wraps the training, and hands on to the user's own file.

It stands first on PYTHONPATH, so that any Python runs it, even one in whose environment plateau-doctor is not
installed: the package is loaded from the folder that this file lies in, and no other package of that folder
comes into reach. It prints nothing. What fails here is told in the trial's outcome, and the script runs on.
"""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent


def _chain() -> None:
    """Run the `sitecustomize` that this one hides, if there is one."""
    path = [one for one in sys.path if pathlib.Path(one or ".").resolve() != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _wrap() -> None:
    """Load plateau_doctor from where it lies, under its own name, and start the wrap."""
    if "plateau_doctor" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "plateau_doctor", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["plateau_doctor"] = module
        spec.loader.exec_module(module)
    from plateau_doctor.trials import wrap

    wrap.start()


def _tell(error: BaseException) -> None:
    """Leave an outcome by hand: what failed may be the very module that writes outcomes."""
    file = pathlib.Path(os.environ["PLATEAU_DOCTOR_ORDER"]).with_name("outcome.json")
    says = f"the wrap did not start: {type(error).__name__}: {error}"
    file.write_text(json.dumps({"problems": [says]}), encoding="utf-8")


if os.environ.get("PLATEAU_DOCTOR_ORDER"):
    try:
        _wrap()
    except Exception as error:
        with contextlib.suppress(OSError):  # the parent misses the outcome and says so
            _tell(error)
_chain()
