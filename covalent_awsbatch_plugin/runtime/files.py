"""The files through which the worker gets pickles and gives them back."""

from __future__ import annotations

import shutil
from pathlib import Path

from covalent_awsbatch_plugin.contract import Hook, Input, Task
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault
from covalent_awsbatch_plugin.runtime.messages import Call, HookFiles
from covalent_awsbatch_plugin.runtime.payload import PayloadReader


def value_path(directory: Path, node_id: int) -> Path:
    """Return where a task's value lies, for the tasks that take it as input."""
    return directory / f"value-{node_id}"


def takes_value(task: Task, node_id: int) -> bool:
    """Whether a task takes the value of another one as input."""
    return any(each.node_id == node_id for each in (*task.args, *task.kwargs.values()))


class TaskFiles:
    """The pickles of one task, in a directory of their own."""

    def __init__(self, reader: PayloadReader, job_directory: Path, task: Task) -> None:
        """Make the directory."""
        self._reader = reader
        self._job_directory = job_directory
        self._task = task
        self._directory = job_directory / f"task-{task.node_id}"
        self._directory.mkdir()
        self._sections: dict[str, Path] = {}
        self._objects: dict[str, Path] = {}

    def fetch(self) -> Call:
        """Fetch all that the task needs.

        Raises RuntimeFault where something cannot be had.
        """
        function = self._directory / "function"
        self._reader.write_function(self._task.function_key, function)
        return Call(
            function=str(function),
            value=str(self.value),
            object_string=str(self.object_string),
            exception=str(self.exception),
            args=[self._input(each) for each in self._task.args],
            kwargs={name: self._input(each) for name, each in self._task.kwargs.items()},
            call_before=[self._hook(each) for each in self._task.call_before],
            call_after=[self._hook(each) for each in self._task.call_after],
        )

    @property
    def value(self) -> Path:
        """Where the worker puts the pickled value."""
        return value_path(self._job_directory, self._task.node_id)

    @property
    def object_string(self) -> Path:
        """Where the worker puts the value's string."""
        return self._directory / "object_string"

    @property
    def exception(self) -> Path:
        """Where the worker puts the pickled exception, if there is one that can be pickled."""
        return self._directory / "exception"

    def remove(self, *, keep_value: bool) -> None:
        """Free the disk."""
        # The outcome is left already, and the disk goes with the container.
        shutil.rmtree(self._directory, ignore_errors=True)
        if not keep_value:
            self.value.unlink(missing_ok=True)

    def _input(self, source: Input) -> str:
        if source.section is not None:
            return self._section(source.section)
        if source.key is not None:
            return self._object(source.key, source.length)
        if source.node_id is None:
            raise RuntimeFault(f"An argument of task {self._task.node_id} has no source in the payload.")
        path = value_path(self._job_directory, source.node_id)
        if not path.exists():
            raise RuntimeFault(
                f"Task {self._task.node_id} takes the value of task {source.node_id}, "
                "which did not run before it."
            )
        return str(path)

    def _hook(self, hook: Hook) -> HookFiles:
        function, args, kwargs = map(self._section, (hook.function, hook.args, hook.kwargs))
        return HookFiles(function, args, kwargs, hook.retval_keyword)

    def _section(self, name: str) -> str:
        if name not in self._sections:
            path = self._directory / f"section-{len(self._sections)}"
            self._reader.write_section(name, path)
            self._sections[name] = path
        return str(self._sections[name])

    def _object(self, key: str, length: int | None) -> str:
        if key not in self._objects:
            path = self._directory / f"object-{len(self._objects)}"
            self._reader.write_object(key, path, length)
            self._objects[key] = path
        return str(self._objects[key])
