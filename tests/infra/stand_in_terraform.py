"""A stand-in for Terraform, because Terraform's providers come from a registry that tests must not need.

It reads the .tf files of the directory that it is started in with a parser of HCL, evaluates their
expressions, and does what Terraform's providers do for the two resources that it knows: a CloudFormation
stack, through the API of the endpoint that the files name, and a local file. What else they say it refuses.

It is a program: `stand_in_terraform.py init | plan | apply | destroy | state list | version`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import hcl2
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

VERSION = "1.9.8"

STATE, PLAN, VALUES = Path("terraform.tfstate"), Path("tf.plan"), Path("terraform.tfvars")

PROVIDER_ATTRIBUTES = {"region", "profile", "shared_credentials_files", "endpoints"}
STACK_ATTRIBUTES = {"name", "template_body", "capabilities", "on_failure", "tags", "parameters"}
FILE_ATTRIBUTES = {"filename", "file_permission", "content"}

STACK, FILE = "aws_cloudformation_stack", "local_file"

WAIT = {"Delay": 1, "MaxAttempts": 120}


class Map(dict[str, Any]):
    """HCL's map, whose members are attributes too."""

    __getattr__ = dict.__getitem__


class Refused(Exception):
    """What Terraform would print as an error."""


# --- the language ---------------------------------------------------------------------------------------


def parsed(path: Path) -> dict[str, Any]:
    return dict(hcl2.loads(path.read_text(encoding="utf-8") + "\n"))


def configuration() -> dict[str, list[Any]]:
    """Return the blocks of all .tf files of this directory, by their kind."""
    blocks: dict[str, list[Any]] = {}
    for path in sorted(Path().glob("*.tf")):
        for kind, found in parsed(path).items():
            blocks.setdefault(kind, []).extend(found)
    return blocks


def plain(name: str) -> str:
    return name.strip('"')


def labelled(blocks: list[Any]) -> dict[str, Any]:
    """Return blocks by their label."""
    return {plain(label): body for block in blocks for label, body in block.items()}


def evaluated(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return what a parsed value is worth, with the names of a scope."""
    if isinstance(value, dict):
        return Map(
            {plain(name): evaluated(each, scope) for name, each in value.items() if not name.startswith("__")}
        )
    if isinstance(value, list):
        return [evaluated(each, scope) for each in value]
    if isinstance(value, str):
        return calculated(value[2:-1] if value.startswith("${") else value, scope)
    return value


def calculated(expression: str, scope: Mapping[str, Any]) -> Any:
    """Return what an expression is worth: HCL's are Python's but for conditions, paths and objects."""
    text = re.sub(r'"\$\{path\.module\}/', 'path.module + "/" + "', expression)
    text = re.sub(r"^(.+) \? (.+) : (.+)$", r"(\2) if (\1) else (\3)", text)
    text = text.replace("{", "dict(").replace("}", ")")
    return eval(text, {"__builtins__": {"dict": Map}}, FUNCTIONS | {"path": Map(module=".")} | dict(scope))


def filled(path: str, scope: Mapping[str, Any]) -> str:
    """Return a template with its conditions and expressions reckoned."""
    text = re.sub(
        r"%\{ if (.+?) ~\}\n(.*?)%\{ endif ~\}\n",
        lambda found: found[2] if calculated(found[1], scope) else "",
        Path(path).read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    return re.sub(r"\$\{(.+?)\}", lambda found: text_of(calculated(found[1], scope)), text)


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


FUNCTIONS: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "contains": lambda values, value: value in values,
    "keys": lambda values: list(values),
    "file": lambda path: Path(path).read_text(encoding="utf-8"),
    "lookup": lambda values, key, default: values.get(key, default),
    "pathexpand": os.path.expanduser,
    "replace": lambda text, old, new: text.replace(old, new),
    "templatefile": filled,
}

CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: {"true": True, "false": False}[text],
    "number": int,
    "string": str,
}


def variables(declared: Mapping[str, Any]) -> Map:
    """Return the values of all variables: those of the .tfvars file, converted, and the defaults."""
    given = parsed(VALUES) if VALUES.exists() else {}
    for name in given.keys() - declared.keys():
        print(f'Warning: Value for undeclared variable: there is no variable named "{name}".')
    values = Map()
    for name, block in declared.items():
        value = evaluated(given.get(name, block["default"]), {})
        try:
            values[name] = CONVERSIONS[block["type"]](text_of(value))
        except (KeyError, ValueError) as error:
            raise Refused(f'Invalid value for input variable "{name}": {block["type"]} required.') from error
    return values


# --- the providers --------------------------------------------------------------------------------------


def known(block: Map, attributes: set[str]) -> Map:
    if unknown := block.keys() - attributes:
        raise Refused(f"Unsupported argument: {sorted(unknown)}")
    return block


def cloudformation(blocks: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
    """Return the provider's client."""
    provider = known(evaluated(labelled(blocks["provider"])["aws"], scope), PROVIDER_ATTRIBUTES)
    for path in provider.shared_credentials_files or []:
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = path
    session = boto3.Session(profile_name=provider.profile, region_name=provider.region)
    return session.client("cloudformation", endpoint_url=provider.endpoints[0].cloudformation)


def put_stack(client: Any, block: Map, stack_id: str) -> Map:
    """Create the stack, or update the one that there is, and return what others may refer to."""
    known(block, STACK_ATTRIBUTES)
    request = {
        "StackName": stack_id or block.name,
        "TemplateBody": block.template_body,
        "Capabilities": block.capabilities,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": text_of(value)} for key, value in block.parameters.items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in block.tags.items()],
    }
    if stack_id:
        update_stack(client, request)
    else:
        stack_id = client.create_stack(**request, OnFailure=block.on_failure)["StackId"]
        wait(client, "create", stack_id)
    stack = client.describe_stacks(StackName=stack_id)["Stacks"][0]
    return Map(
        id=stack_id,
        outputs=Map({each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}),
    )


def update_stack(client: Any, request: dict[str, Any]) -> None:
    try:
        client.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
    else:
        wait(client, "update", request["StackName"])


def wait(client: Any, action: str, stack_id: str) -> None:
    """Wait for the end of an action, and tell CloudFormation's reasons where it failed."""
    try:
        client.get_waiter(f"stack_{action}_complete").wait(StackName=stack_id, WaiterConfig=WAIT)
    except WaiterError as error:
        events = client.describe_stack_events(StackName=stack_id)["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        reasons = "\n".join(each.get("ResourceStatusReason", "") for each in failed)
        raise Refused(f"waiting for CloudFormation Stack ({stack_id}) {action}: {reasons}") from error


def put_file(block: Map) -> Map:
    known(block, FILE_ATTRIBUTES)
    path = Path(block.filename)
    path.write_text(block.content, encoding="utf-8")
    path.chmod(int(block.file_permission, 8))
    return Map(id=str(path))


# --- the commands ---------------------------------------------------------------------------------------


def state() -> dict[str, str]:
    """Return the ids of what was made, by address."""
    return dict(json.loads(STATE.read_text())) if STATE.exists() else {}


def init(_: list[str]) -> None:
    Path(".terraform").mkdir(exist_ok=True)
    Path(".terraform.lock.hcl").touch()
    print("Terraform has been successfully initialized!")


def plan(_: list[str]) -> None:
    if not Path(".terraform").exists():
        raise Refused("Inconsistent dependency lock file")
    PLAN.write_text(json.dumps(variables(labelled(configuration()["variable"]))))


def apply(_: list[str]) -> None:
    blocks, made = configuration(), state()
    before = len(made)
    scope: dict[str, Any] = {"var": Map(json.loads(PLAN.read_text()))}
    client = cloudformation(blocks, scope)
    for kind, names in ((kind, names) for each in blocks["resource"] for kind, names in each.items()):
        for name, body in names.items():
            address = f"{plain(kind)}.{plain(name)}"
            block = evaluated(body, scope)
            put = put_file(block) if plain(kind) == FILE else put_stack(client, block, made.get(address, ""))
            made[address] = put.id
            STATE.write_text(json.dumps(made))
            scope[plain(kind)] = Map({plain(name): put})
    for block in labelled(blocks["output"]).values():
        evaluated(block, scope)
    print(f"Apply complete! Resources: {len(made) - before} added, {before} changed, 0 destroyed.")


def destroy(_: list[str]) -> None:
    blocks, made = configuration(), state()
    scope = {"var": variables(labelled(blocks["variable"]))}
    client = cloudformation(blocks, scope)
    for address, name in reversed(made.items()):
        if address.startswith(FILE):
            Path(name).unlink(missing_ok=True)
        else:
            client.delete_stack(StackName=name)
            wait(client, "delete", name)
    STATE.write_text("{}")
    print(f"Destroy complete! Resources: {len(made)} destroyed.")


def list_state(words: list[str]) -> None:
    if not Path(words[-1].removeprefix("-state=")).exists():
        raise Refused("No state file was found!")
    print("\n".join(state()))


def tell_version(words: list[str]) -> None:
    print(json.dumps({"terraform_version": VERSION}) if "-json" in words else f"Terraform v{VERSION}")


COMMANDS = {
    "init": init,
    "plan": plan,
    "apply": apply,
    "destroy": destroy,
    "state": list_state,
    "version": tell_version,
    "--version": tell_version,
}


def main(words: list[str]) -> int:
    try:
        COMMANDS[words[0]](words[1:])
    except (Refused, BotoCoreError, ClientError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
