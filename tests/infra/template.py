"""The template of the cloud set-up, decoded: short tags such as `!Sub` are `Fn::Sub`."""

from typing import Any

from cfnlint.decode import cfn_yaml

from covalent_awsbatch_plugin.infra import template

TEMPLATE: dict[str, Any] = cfn_yaml.loads(template.text())
