"""CloudFormation on this machine: stacks whose resources are made through the local AWS's own services.

From bottom to top:

- `template` reads and checks one, `intrinsics` evaluates it, `parameters` checks what it is given;
- `resources/` has one class for each type of resource, which calls the services over HTTP as anybody would;
- `records` holds stacks, their events and change sets, `plan` says what a template would change;
- `deployment` makes, changes, rolls back and deletes; `operations` is the API.

Moto's CloudFormation is not used: it does everything within one request, in no certain order, tells nothing
of single resources, ignores properties that it does not know, and would make its own AWS Batch's resources.
"""
