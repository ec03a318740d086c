"""The shared library that the notebooks and `run_pipeline.py` call."""
