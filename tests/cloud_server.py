"""moto's server (argument: a port) with four things of CloudFormation as AWS has them.

It knows the parameters that name images of Canonical and Amazon. In moto 5.2.5 a stack made by a
change set never learns the template it was made from, so it has no outputs; a resource of which
moto knows no change is forgotten by one; and a table of routes is never removed, so its VPC is not.
"""

from __future__ import annotations

import sys
from typing import Any

from moto.cloudformation.models import ChangeSet
from moto.cloudformation.parsing import ResourceMap
from moto.ec2.models import ec2_backends
from moto.ec2.models.route_tables import RouteTable
from moto.server import main

IMAGE = "ami-12c6146b"  # one of those that moto has


def _apply(change: Any) -> None:
    stack = change.stack
    resources = stack.resource_map
    before = dict(resources._parsed_resources)
    described = dict(change.template_dict)
    if stack.template_dict.get("Resources"):  # an update makes what a condition has left out
        described["Resources"] = {
            name: each
            for name, each in described["Resources"].items()
            if name in before or "Condition" not in each
        }
    resources.update(described, change.parameters)
    for name, resource in before.items():
        if resources._parsed_resources.get(name) is None:
            resources._parsed_resources[name] = resource
    stack.template, stack.template_dict = change.template, change.template_dict

    stack.output_map = stack._create_output_map()


def _image(_resources: Any, _name: str, _kind: str) -> str:
    return IMAGE


def _delete(table: Any, account: str, region: str) -> None:
    table._associations.clear()
    ec2_backends[account][region].delete_route_table(table.id)


if __name__ == "__main__":
    ChangeSet.apply = _apply
    ResourceMap.parse_ssm_parameter = _image
    RouteTable.delete = _delete
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
