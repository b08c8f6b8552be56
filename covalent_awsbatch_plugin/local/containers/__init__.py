"""Run each attempt in a container of the Docker engine; begins with `runner`."""
