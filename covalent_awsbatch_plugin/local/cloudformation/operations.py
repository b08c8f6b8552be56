"""CloudFormation's operations: what they are asked, and how stacks look from outside."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable

from ..errors import ApiError, NotLocal
from ..jobs import Json
from . import parameters, plan, rules
from .clients import Clients
from .deployment import Deployment
from .describe import (
    change_detail,
    event_detail,
    goal_tags,
    present,
    resource_detail,
    resource_summary,
    stack_detail,
    stack_summary,
)
from .errors import invalid
from .records import ChangeSet, Goal, Stack, now_s
from .resources.known import KNOWN
from .template import Template, read_template

logger = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
FINISHED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
"""The states in which a stack can be changed."""


class StackOperations:
    """What CloudFormation does with stacks and change sets; work goes on in the background."""

    def __init__(self, clients: Clients, poll_s: float) -> None:
        self._clients = clients
        self._poll_s = poll_s
        self._stacks: list[Stack] = []
        self._works: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Leave all work where it is."""
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)
        await self._clients.close()

    def validate_template(self, request: Json) -> Json:
        """Check a template, and say what it takes."""
        template = _template(request)
        response: Json = {"Parameters": parameters.declared(template)}
        if template.description is not None:
            response["Description"] = template.description
        if needed := rules.capabilities_of(template):
            response["Capabilities"] = needed
            response["CapabilitiesReason"] = rules.reason_for_capabilities(template)
        return response

    def create_stack(self, request: Json) -> Json:
        """Begin to make a stack."""
        name = request["StackName"]
        if self._living(name) is not None:
            raise ApiError(f"Stack [{name}] already exists", "AlreadyExistsException")
        stack = self._new(name)
        goal = self._goal(stack, request)
        stack.disable_rollback = request.get("DisableRollback", False)
        stack.is_protected = request.get("EnableTerminationProtection", False)
        on_failure = request.get("OnFailure", "DO_NOTHING" if stack.disable_rollback else "ROLLBACK")
        self._stacks.append(stack)
        self._begin(stack, "CREATE", lambda work: work.create(goal, on_failure))
        return {"StackId": stack.id}

    def update_stack(self, request: Json) -> Json:
        """Begin to change a stack."""
        stack = self._changeable(request["StackName"])
        goal = self._goal(stack, request)
        if not plan.changes(self._clients.account, stack, goal):
            raise invalid("No updates are to be performed.")
        stack.updated_at_s = now_s()
        self._begin(stack, "UPDATE", lambda work: work.update(goal))
        return {"StackId": stack.id}

    def delete_stack(self, request: Json) -> Json:
        """Begin to delete a stack; nothing happens where there is none."""
        stack = self._named(request["StackName"])
        if stack is None or stack.is_deleted:
            return {}
        if stack.is_protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.is_busy and not stack.status.startswith("DELETE"):
            raise invalid(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        retained = request.get("RetainResources", [])
        if retained and stack.status != "DELETE_FAILED":
            raise invalid("Invalid operation on stack. RetainResources is only for stacks in DELETE_FAILED")
        if not stack.is_busy:
            stack.deleted_at_s = now_s()
            self._begin(stack, "DELETE", lambda work: work.delete(retained))
        return {}

    def create_change_set(self, request: Json) -> Json:
        """Say what would change, for a look and a decision; a CREATE makes a stack in REVIEW_IN_PROGRESS."""
        kind, name = request.get("ChangeSetType", "UPDATE"), request["ChangeSetName"]
        stack = self._to_review(request, kind)
        if name in stack.change_sets:
            text = f"ChangeSet {name} cannot be created due to a mismatch with existing attribute Template"
            raise ApiError(text, "AlreadyExistsException")
        change_set = self._new_change_set(stack, kind, request)
        stack.change_sets[name] = change_set
        if stack not in self._stacks:
            self._stacks.append(stack)
            stack.become("REVIEW_IN_PROGRESS", "User Initiated")
        return {"Id": change_set.id, "StackId": stack.id}

    def _new_change_set(self, stack: Stack, kind: str, request: Json) -> ChangeSet:
        """Return what a request would change; where that is nothing, it has failed."""
        name, goal = request["ChangeSetName"], self._goal(stack, request)
        changes = plan.changes(self._clients.account, stack, goal)
        return ChangeSet(
            name=name,
            id=self._clients.account.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}"),
            type=kind,
            goal=goal,
            changes=changes,
            description=request.get("Description"),
            on_failure=request.get("OnStackFailure", "ROLLBACK"),
            status="CREATE_COMPLETE" if changes else "FAILED",
            execution_status="AVAILABLE" if changes else "UNAVAILABLE",
            reason=None if changes else NO_CHANGES,
        )

    def describe_change_set(self, request: Json) -> Json:
        """Describe a change set with all its changes."""
        stack, change_set = self._change_set(request)
        return present(
            ChangeSetName=change_set.name,
            ChangeSetId=change_set.id,
            StackId=stack.id,
            StackName=stack.name,
            Description=change_set.description,
            Parameters=parameters.shown(change_set.goal.template, change_set.goal.parameters),
            CreationTime=change_set.created_at_s,
            ExecutionStatus=change_set.execution_status,
            Status=change_set.status,
            StatusReason=change_set.reason,
            Capabilities=list(change_set.goal.capabilities),
            Tags=goal_tags(change_set.goal),
            Changes=[change_detail(each) for each in change_set.changes],
        )

    def list_change_sets(self, request: Json) -> Json:
        """List a stack's change sets."""
        stack = self._existing(request["StackName"])
        return {
            "Summaries": [
                present(
                    StackId=stack.id,
                    StackName=stack.name,
                    ChangeSetId=each.id,
                    ChangeSetName=each.name,
                    ExecutionStatus=each.execution_status,
                    Status=each.status,
                    StatusReason=each.reason,
                    CreationTime=each.created_at_s,
                )
                for each in stack.change_sets.values()
            ]
        }

    def execute_change_set(self, request: Json) -> Json:
        """Begin to do what a change set says; the stack's other change sets are gone then."""
        stack, change_set = self._change_set(request)
        if change_set.execution_status != "AVAILABLE" or stack.is_busy:
            told = f"cannot be executed in its current status of [{change_set.status}]"
            raise ApiError(f"ChangeSet [{change_set.id}] {told}", "InvalidChangeSetStatus")
        stack.change_sets = {change_set.name: change_set}
        stack.change_set_id = change_set.id
        change_set.execution_status = "EXECUTE_IN_PROGRESS"
        is_bare = request.get("DisableRollback", False)

        async def execute(work: Deployment) -> None:
            if change_set.type == "CREATE":
                await work.create(change_set.goal, "DO_NOTHING" if is_bare else change_set.on_failure)
            else:
                await work.update(change_set.goal)
            is_done = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            change_set.execution_status = "EXECUTE_COMPLETE" if is_done else "EXECUTE_FAILED"

        self._begin(stack, change_set.type, execute)
        return {}

    def delete_change_set(self, request: Json) -> Json:
        """Forget a change set."""
        stack, change_set = self._change_set(request)
        if change_set.execution_status == "EXECUTE_IN_PROGRESS":
            raise ApiError(f"ChangeSet [{change_set.id}] is being executed", "InvalidChangeSetStatus")
        del stack.change_sets[change_set.name]
        return {}

    def describe_stacks(self, request: Json) -> Json:
        """Describe a stack, which may be deleted where its id names it, or all that are."""
        if "StackName" in request:
            return {"Stacks": [stack_detail(self._existing(request["StackName"]))]}
        return {"Stacks": [stack_detail(each) for each in self._stacks if not each.is_deleted]}

    def list_stacks(self, request: Json) -> Json:
        """List stacks, deleted ones too."""
        wanted = request.get("StackStatusFilter", [])
        found = [each for each in self._stacks if not wanted or each.status in wanted]
        return {"StackSummaries": [stack_summary(each) for each in found]}

    def describe_stack_events(self, request: Json) -> Json:
        """Tell what happened, the newest first, in one page."""
        stack = self._existing(request["StackName"])
        return {"StackEvents": [event_detail(stack, each) for each in reversed(stack.events)]}

    def list_stack_resources(self, request: Json) -> Json:
        """List a stack's resources."""
        stack = self._existing(request["StackName"])
        return {"StackResourceSummaries": [resource_summary(each) for each in stack.resources.values()]}

    def describe_stack_resources(self, request: Json) -> Json:
        """Describe a stack's resources, or one of them."""
        if "StackName" not in request:
            raise NotLocal("DescribeStackResources by PhysicalResourceId", "CloudFormation")
        stack, only = self._existing(request["StackName"]), request.get("LogicalResourceId")
        found = [each for name, each in stack.resources.items() if only in (None, name)]
        return {"StackResources": [resource_detail(stack, each) for each in found]}

    def get_template(self, request: Json) -> Json:
        """Return the template of a stack or of a change set, as it was given."""
        if "ChangeSetName" in request:
            return _template_body(self._change_set(request)[1].goal)
        stack = self._existing(request["StackName"])
        if stack.goal is None:
            raise invalid(f"Stack with id {stack.name} has no template yet")  # own wording
        return _template_body(stack.goal)

    def _begin(self, stack: Stack, verb: str, do: Callable[[Deployment], Awaitable[None]]) -> None:
        """Start to work on a stack, whose status tells it from now on."""
        stack.become(f"{verb}_IN_PROGRESS", "User Initiated")

        async def done() -> None:
            try:
                await do(Deployment(stack, self._clients, self._poll_s))
            except Exception as error:
                logger.exception("the local CloudFormation failed with the stack %s", stack.name)
                stack.become(f"{verb}_FAILED", f"defect of the local AWS: {error!r}")

        work = asyncio.get_running_loop().create_task(done())
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    def _new(self, name: str) -> Stack:
        if NAME.fullmatch(name) is None:
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        return Stack(name, self._clients.account.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"))

    def _goal(self, stack: Stack, request: Json) -> Goal:
        """Return what a request wants of a stack; refuses what CloudFormation refuses at once."""
        before = stack.goal
        is_previous = request.get("UsePreviousTemplate", False) and before is not None
        template = before.template if is_previous and before is not None else _template(request)
        given = request.get("Parameters", [])
        values = parameters.taken(template, given, before.parameters if before is not None else {})
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        capabilities = tuple(request.get("Capabilities", []))
        rules.check_capabilities(template, capabilities)
        goal = Goal(template, values, tags, capabilities)
        here = plan.evaluation(self._clients.account, stack, goal, {})
        rules.check_rules(template, here)
        plan.wanted(here, goal)
        return goal

    def _to_review(self, request: Json, kind: str) -> Stack:
        name = request["StackName"]
        if kind == "UPDATE":
            return self._changeable(name)
        if kind != "CREATE":
            raise NotLocal(f"change sets of type {kind}", "CloudFormation")
        stack = self._living(name)
        if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise invalid(
                f"Stack [{name}] already exists and cannot be created again with the changeSet "
                f"[{request['ChangeSetName']}]."
            )
        return stack or self._new(name)

    def _changeable(self, name: str) -> Stack:
        stack = self._named(name)
        if stack is None or stack.is_deleted:
            raise invalid(f"Stack [{name}] does not exist")
        if stack.status not in FINISHED:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _existing(self, name: str) -> Stack:
        stack = self._named(name)
        if stack is None:
            raise invalid(f"Stack with id {name} does not exist")
        return stack

    def _named(self, name_or_id: str) -> Stack | None:
        """Return a stack by its name, or by its id, which names a deleted one too."""
        by_id = [stack for stack in self._stacks if stack.id == name_or_id]
        return by_id[0] if by_id else self._living(name_or_id)

    def _living(self, name: str) -> Stack | None:
        living = [stack for stack in self._stacks if stack.name == name and not stack.is_deleted]
        return living[0] if living else None

    def _change_set(self, request: Json) -> tuple[Stack, ChangeSet]:
        name, of = request["ChangeSetName"], request.get("StackName")
        if of is None and not name.startswith("arn:"):
            raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stacks: Iterable[Stack] = self._stacks if of is None else [self._existing(of)]
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if name in (change_set.name, change_set.id):
                    return stack, change_set
        raise ApiError(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound", 404)


def _template(request: Json) -> Template:
    if "TemplateURL" in request:
        raise NotLocal("TemplateURL", "CloudFormation")
    if "TemplateBody" not in request:
        raise invalid("Either Template URL or Template Body must be specified.")
    return read_template(request["TemplateBody"], KNOWN)


def _template_body(goal: Goal) -> Json:
    return {"TemplateBody": goal.template.text, "StagesAvailable": ["Original", "Processed"]}
