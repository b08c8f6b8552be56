"""Bring a stack to its goal, one resource after the other, and back where that fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..errors import ApiError
from ..jobs import Json
from .clients import Clients
from .errors import ResourceFailed
from .intrinsics import Evaluation, Made, as_text
from .plan import changed_names, evaluation, wanted
from .records import Goal, Stack, StackResource, in_order
from .resources.base import Place, ResourceType
from .resources.known import KNOWN

CUSTOM_NAMED = (
    "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {} and "
    "update the stack again."
)
NEW_ONE = "Requested update requires the creation of a new physical resource; hence creating one."


class _Stopped(Exception):
    """A resource could not be made or changed; the message is what the stack says."""


@dataclass
class _Done:
    """What was done on the way: names in order, and how those were that were changed or replaced."""

    steps: list[str] = field(default_factory=list)
    before: dict[str, StackResource] = field(default_factory=dict)
    replaced: dict[str, StackResource] = field(default_factory=dict)


class Deployment:
    """Works on one stack."""

    def __init__(self, stack: Stack, clients: Clients, poll_s: float) -> None:
        self._stack = stack
        self._clients = clients
        self._poll_s = poll_s

    async def create(self, goal: Goal, on_failure: str) -> None:
        """Make all resources; where one cannot be made, ROLLBACK, DELETE or DO_NOTHING."""
        self._stack.goal = goal
        try:
            await self._reach(goal, _Done())
        except _Stopped as stopped:
            await self._give_up(str(stopped), on_failure)
        else:
            self._stack.become("CREATE_COMPLETE")

    async def _give_up(self, why: str, on_failure: str) -> None:
        if on_failure == "DO_NOTHING":
            self._stack.become("CREATE_FAILED", why)
        elif on_failure == "DELETE":
            self._stack.become("DELETE_IN_PROGRESS", f"{why}. Delete requested by user.")
            await self.delete(frozenset())
        else:
            self._stack.become("ROLLBACK_IN_PROGRESS", f"{why}. Rollback requested by user.")
            failed = await self._delete_all(frozenset(), rolling_back=True)
            self._stack.become("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", failed)

    async def update(self, goal: Goal) -> None:
        """Bring a stack to another goal; where that fails, back to the one that it had."""
        before, done = self._stack.goal, _Done()
        self._stack.goal = goal
        try:
            kept = await self._reach(goal, done)
        except _Stopped as stopped:
            self._stack.become("UPDATE_ROLLBACK_IN_PROGRESS", str(stopped))
            await self._roll_back(before, done)
            return
        self._stack.become("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        removed = [each for name, each in self._stack.resources.items() if name not in kept]
        await self._clean_up([*done.replaced.values(), *removed])
        self._stack.become("UPDATE_COMPLETE")

    async def delete(self, retained: Iterable[str]) -> None:
        """Delete all resources but those retained, and with the last one the stack."""
        failed = await self._delete_all(retained)
        self._stack.become("DELETE_FAILED" if failed else "DELETE_COMPLETE", failed)

    async def _reach(self, goal: Goal, done: _Done) -> list[str]:
        """Bring all resources to the goal; return the names of those that are to be there."""
        plan = wanted(self._evaluation(goal), goal)
        for name in plan.order:
            await self._bring(name, goal, plan.needs[name], done)
        try:
            self._stack.outputs = _outputs(self._evaluation(goal), goal)
        except ApiError as error:
            raise _Stopped(error.message) from error
        return plan.order

    def _evaluation(self, goal: Goal) -> Evaluation:
        return evaluation(self._clients.account, self._stack, goal, self._stack.made)

    async def _bring(self, name: str, goal: Goal, needs: frozenset[str], done: _Done) -> None:
        """Bring one resource to what the goal wants of it."""
        member, there = goal.template.resources[name], self._stack.resources.get(name)
        verb = "CREATE" if there is None else "UPDATE"
        policy = as_text(member.get("DeletionPolicy", "Delete"))
        target = StackResource(name, member["Type"], "", needs=needs, deletion_policy=policy)
        try:
            target.properties = self._evaluation(goal).value(member.get("Properties", {}))
            if there is None:
                await self._add(target, done)
            elif there.type != target.type or changed_names(there.properties, target.properties):
                await self._change(there, target, member, done)
            else:
                there.needs, there.deletion_policy = needs, policy
                return
        except (ResourceFailed, ApiError) as error:
            self._stack.note(self._stack.resources.setdefault(name, target), f"{verb}_FAILED", str(error))
            what = f"The following resource(s) failed to {verb.lower()}: [{name}]"
            raise _Stopped(what) from error
        self._stack.note(target, f"{verb}_COMPLETE")

    async def _add(self, target: StackResource, done: _Done) -> None:
        self._stack.resources[target.logical_id] = target
        done.steps.append(target.logical_id)
        self._stack.note(target, "CREATE_IN_PROGRESS")
        await self._make(target)

    async def _make(self, target: StackResource) -> None:
        kind = KNOWN[target.type]
        _check(kind, target)
        target.made = await kind.create(self._place(target), target.properties)

    async def _change(self, old: StackResource, target: StackResource, member: Json, done: _Done) -> None:
        """Change a resource in place, or make another one for it; the old one is deleted at the end."""
        kind, name = KNOWN[target.type], target.logical_id
        if old.type != target.type or kind.is_replaced(old.properties, target.properties):
            await self._replace(old, target, as_text(member.get("UpdateReplacePolicy", "Delete")), done)
            return
        _check(kind, target)
        target.made = old.made
        self._stack.resources[name] = target
        done.before[name] = old
        done.steps.append(name)
        self._stack.note(target, "UPDATE_IN_PROGRESS")
        target.made = await kind.update(self._place(target), _there(old), old.properties, target.properties)

    async def _replace(self, old: StackResource, target: StackResource, policy: str, done: _Done) -> None:
        kind, name = KNOWN[target.type], target.logical_id
        if kind.name in target.properties and old.properties.get(kind.name) == target.properties[kind.name]:
            raise ResourceFailed(CUSTOM_NAMED.format(target.properties[kind.name]))
        self._stack.note(old, "UPDATE_IN_PROGRESS", NEW_ONE)
        self._stack.resources[name] = target
        done.before[name] = old
        done.replaced[name] = replace(old, deletion_policy=policy)
        done.steps.append(name)
        await self._make(target)

    async def _roll_back(self, before: Goal | None, done: _Done) -> None:
        failed = [name for name in reversed(done.steps) if not await self._undo(name, done)]
        self._stack.goal = before
        if failed:
            why = f"The following resource(s) failed to update: [{', '.join(failed)}]"
            self._stack.become("UPDATE_ROLLBACK_FAILED", why)
        else:
            self._stack.become("UPDATE_ROLLBACK_COMPLETE")

    async def _undo(self, name: str, done: _Done) -> bool:
        """Bring a resource back to what it was, and tell whether it is."""
        now, was = self._stack.resources[name], done.before.get(name)
        if was is None or name in done.replaced:
            now.deletion_policy = "Delete"
            if not await self._remove(now):
                return False
        if was is not None:
            self._stack.resources[name] = was
            return name in done.replaced or await self._change_back(now, was)
        return True

    async def _change_back(self, now: StackResource, was: StackResource) -> bool:
        self._stack.note(was, "UPDATE_IN_PROGRESS")
        try:
            place = self._place(was)
            was.made = await KNOWN[was.type].update(place, _there(now), now.properties, was.properties)
        except ResourceFailed as error:
            self._stack.note(was, "UPDATE_FAILED", str(error))
            return False
        self._stack.note(was, "UPDATE_COMPLETE")
        return True

    async def _clean_up(self, gone: list[StackResource]) -> None:
        """Delete what an update has left, what needs others first; a failure is told, and no more."""
        by_name = {resource.logical_id: resource for resource in gone}
        for name in reversed(in_order(list(by_name), lambda name: by_name[name].needs)):
            await self._remove(by_name[name])

    async def _delete_all(self, retained: Iterable[str], rolling_back: bool = False) -> str | None:
        """Delete what can be deleted; return what cannot, None where nothing is left."""
        resources = self._stack.resources
        failed: list[str] = []
        for name in reversed(in_order(list(resources), lambda name: resources[name].needs)):
            resource = resources[name]
            if name in retained or (resource.deletion_policy == "RetainExceptOnCreate" and not rolling_back):
                resource.deletion_policy = "Retain"
            is_needed = any(name in resources[each].needs for each in failed)
            if is_needed or not await self._remove(resource):
                failed.append(name)
        told = [name for name in failed if resources[name].status == "DELETE_FAILED"]
        return f"The following resource(s) failed to delete: [{', '.join(told)}]. " if failed else None

    async def _remove(self, resource: StackResource) -> bool:
        """Delete a resource, and tell whether it is gone or meant to stay."""
        if resource.made is not None and resource.deletion_policy == "Retain":
            self._stack.note(resource, "DELETE_SKIPPED")
        elif resource.made is not None:
            self._stack.note(resource, "DELETE_IN_PROGRESS")
            try:
                await KNOWN[resource.type].delete(self._place(resource), resource.made, resource.properties)
            except ResourceFailed as error:
                self._stack.note(resource, "DELETE_FAILED", str(error))
                return False
            self._stack.note(resource, "DELETE_COMPLETE")
        if self._stack.resources.get(resource.logical_id) is resource:
            del self._stack.resources[resource.logical_id]
        return True

    def _place(self, resource: StackResource) -> Place:
        def exists(made: Made) -> None:
            resource.made = made

        tags = self._stack.goal.tags if self._stack.goal is not None else {}
        return Place(self._clients, self._stack.name, resource.logical_id, tags, self._poll_s, exists)


def _there(resource: StackResource) -> Made:
    if resource.made is None:
        raise ResourceFailed(f"{resource.logical_id} was never made")
    return resource.made


def _check(kind: ResourceType, target: StackResource) -> None:
    unknown = sorted(set(target.properties) - kind.properties)
    missing = sorted(kind.required - set(target.properties))
    problems = [f"extraneous key [{name}] is not permitted" for name in unknown]
    problems += [f"required key [{name}] not found" for name in missing]
    if problems:
        raise ResourceFailed(
            f"Properties validation failed for resource {target.logical_id} with message: #: {problems[0]}"
        )


def _outputs(here: Evaluation, goal: Goal) -> list[Json]:
    return [
        _output(here, name, output)
        for name, output in goal.template.outputs.items()
        if here.holds(output.get("Condition"))
    ]


def _output(here: Evaluation, name: str, output: Json) -> Json:
    told = {"OutputKey": name, "OutputValue": as_text(here.value(output["Value"]))}
    if "Description" in output:
        told["Description"] = output["Description"]
    if "Export" in output:
        told["ExportName"] = as_text(here.value(output["Export"]["Name"]))
    return told
