"""The shared library that the notebooks and `run_pipeline.py` call."""

import sys
from typing import Any, cast

# jsonschema, which dbt and nbformat import, takes it where it is installed, to check addresses in other scripts than
# Latin. Nothing here has any, and building its grammar takes 0.8 s of every process that starts.
cast(dict[str, Any], sys.modules).setdefault("rfc3987_syntax", None)
