"""Programs that each run a written file in one runtime, in a process of their own: `serve.py RUN_….py`.

Each `run_….py` gives `open_graph(request)`, which loads a file and gives a function from images to values. It imports
numpy and its runtime alone, as `serve.py` does, so that the Python of any virtual environment can run it.
"""
