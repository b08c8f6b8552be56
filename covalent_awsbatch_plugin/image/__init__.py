"""The image that a task runs in: derived from what the task needs, built once, found by its tag."""
