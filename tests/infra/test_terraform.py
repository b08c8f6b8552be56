"""The Terraform beside the template says nothing else than the template and the model of its parameters."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import hcl2
import pytest

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin.infra.parameters import PLACE, InfraParameters, template_parameter
from covalent_awsbatch_plugin.settings import Settings
from tests.infra import stand_in_terraform
from tests.infra.stand_in_terraform import Map
from tests.infra.template import TEMPLATE

TERRAFORM = Path(covalent_awsbatch_plugin.__file__).parent / "assets" / "infra"


def blocks(name: str, kind: str) -> list[Any]:
    return list(hcl2.loads((TERRAFORM / name).read_text())[kind])


def resource(kind: str) -> dict[str, Any]:
    found = next(each[f'"{kind}"'] for each in blocks("main.tf", "resource") if f'"{kind}"' in each)
    return dict(next(iter(found.values())))


def options_filled() -> dict[str, str]:
    """Return the expressions of awsbatch.conf.tftpl, by option."""
    lines = (TERRAFORM / "awsbatch.conf.tftpl").read_text().splitlines()
    parser = ConfigParser(interpolation=None)
    parser.read_string("\n".join(line for line in lines if not line.startswith("%{")))
    return dict(parser["awsbatch"])


def real_terraform() -> str:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("there is no Terraform on the PATH")
    return program


def test_variables_are_the_parameters_in_their_words_with_their_defaults():
    kinds = {bool: "bool", int: "number"}
    model = {
        f'"{name}"': {
            "type": kinds.get(field.annotation, "string"),
            "default": field.default,
            "description": field.description,
        }
        for name, field in InfraParameters.model_fields.items()
    }
    declared = {
        name: {key: unquoted(value) for key, value in body.items() if not key.startswith("__")}
        for block in blocks("variables.tf", "variable")
        for name, body in block.items()
    }
    assert declared == model


def unquoted(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith('"') else value


def test_the_stack_is_given_each_parameter_of_the_template_from_its_variable():
    given = resource("aws_cloudformation_stack")["parameters"]
    assert given == {
        template_parameter(name): f"${{var.{name}}}"
        for name in InfraParameters.model_fields
        if name not in PLACE
    }
    assert given.keys() == TEMPLATE["Parameters"].keys()


def test_defaults_and_words_of_the_template_are_those_of_the_variables():
    fields = {template_parameter(name): field for name, field in InfraParameters.model_fields.items()}
    for name, parameter in TEMPLATE["Parameters"].items():
        default = fields[name].default
        text = str(default).lower() if isinstance(default, bool) else str(default)
        assert (str(parameter["Default"]), parameter["Description"]) == (text, fields[name].description)


def test_what_the_stack_tells_of_the_executors_options_is_written_and_nothing_else():
    options = {template_parameter(name): name for name in Settings.model_fields}
    told = {options[key] for key in TEMPLATE["Outputs"] if key in options}
    filled = options_filled()
    assert filled.keys() == told | (PLACE & Settings.model_fields.keys())
    for name in told:
        assert template_parameter(name) in filled[name]


def test_outputs_that_may_be_missing_are_looked_for():
    filling = (TERRAFORM / "awsbatch.conf.tftpl").read_text()
    looked_for = set(re.findall(r'(?:lookup\(outputs, |keys\(outputs\), )"(\w+)"', filling))
    outputs = {name: body for name, body in TEMPLATE["Outputs"].items() if name in filling}
    assert looked_for == {name for name, body in outputs.items() if "Condition" in body}


def test_nothing_of_the_cloud_is_described_but_in_the_template():
    kinds = {kind for block in blocks("main.tf", "resource") for kind in block}
    assert kinds == {'"aws_cloudformation_stack"', '"local_file"'}


def test_providers_are_pinned():
    providers = blocks("versions.tf", "terraform")[0]["required_providers"][0]
    pinned = {name: body["version"] for name, body in providers.items() if not name.startswith("__")}
    assert pinned.keys() == {"aws", "local"}
    assert all(re.fullmatch(r'"\d+\.\d+\.\d+"', version) for version in pinned.values())


def test_terraform_finds_it_well_formatted():
    files = map(str, TERRAFORM.glob("*.tf"))
    done = subprocess.run(
        [real_terraform(), "fmt", "-check", "-diff", *files], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("all_told", [True, False])
def test_terraform_takes_what_covalent_writes_and_reckons_like_its_stand_in(tmp_path, monkeypatch, all_told):
    """All but the providers: variables as Covalent hands them over, and every expression of main.tf."""
    monkeypatch.chdir(tmp_path)
    for name in ("variables.tf", "awsbatch.conf.tftpl", "template.yaml"):
        shutil.copy(TERRAFORM / name, tmp_path)
    Path("terraform.tfvars").write_text(
        'profile="100%"\ncredentials="~/x"\ngpu="true"\nmax_vcpus="8"\nvcpu="4"\n'
    )
    outputs = {
        key: f"the {key}" for key, body in TEMPLATE["Outputs"].items() if all_told or "Condition" not in body
    }
    Path("outputs.auto.tfvars.json").write_text(json.dumps({"outputs": json.dumps(outputs)}))
    expressions = list(expressions_in([blocks("main.tf", "provider"), blocks("main.tf", "resource")]))
    Path("main.tf").write_text('variable "outputs" {}\n' + "".join(map(output, range(1000), expressions)))

    real = applied()

    declared = stand_in_terraform.labelled(blocks("variables.tf", "variable"))
    stack = Map(covalent=Map(outputs=Map(outputs)))
    scope = {"var": stand_in_terraform.variables(declared), "aws_cloudformation_stack": stack}
    assert real == [stand_in_terraform.evaluated(each, scope) for each in expressions]
    section = next(value for each, value in zip(expressions, real, strict=True) if "templatefile" in each)
    parser = ConfigParser()
    parser.read_string(section)
    options = {template_parameter(name): name for name in options_filled()}
    told = {options[name]: value for name, value in outputs.items() if name in options}
    missing = {"assign_public_ip": "false", "on_demand_queue": ""}
    own = {"profile": "100%", "credentials": "~/x", "endpoint_url": ""}
    assert dict(parser["awsbatch"]) == {**missing, **told, **own}


def expressions_in(parsed: Any) -> Iterator[str]:
    """Yield what is to be reckoned in parsed blocks."""
    if isinstance(parsed, str) and "${" in parsed:
        yield parsed
    elif isinstance(parsed, dict | list):
        for each in parsed.values() if isinstance(parsed, dict) else parsed:
            yield from expressions_in(each)


def output(number: int, expression: str) -> str:
    """Return an output of its own for an expression; JSON, since outputs cannot be null."""
    text = expression[2:-1] if expression.startswith("${") else expression
    text = text.replace("aws_cloudformation_stack.covalent.outputs", "jsondecode(var.outputs)")
    return f'output "of_{number:03}" {{\n  value = jsonencode({text})\n}}\n'


def applied() -> list[Any]:
    """Return the outputs that Terraform has for this directory, which has no resources."""
    for words in (["init"], ["apply", "-auto-approve"]):
        subprocess.run([real_terraform(), *words], check=True, capture_output=True)
    shown = subprocess.run([real_terraform(), "output", "-json"], check=True, capture_output=True)
    return [json.loads(each["value"]) for _, each in sorted(json.loads(shown.stdout).items())]
