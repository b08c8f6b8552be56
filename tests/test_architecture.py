"""Imports run downwards only: doors → pipeline → steps → session → settings and contract → errors."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "covalent_awsbatch_plugin"

FLOORS = [
    {"cli"},
    {"doctor"},
    {"awsbatch", "client", "local"},
    {"covalent_stop", "covalent_deploy", "reconcile"},
    {"covalent_assets", "infra", "pipeline", "prune"},
    {"arrays", "recovery", "departure"},
    {"settling"},
    {"resubmission"},
    {"preparation", "submission", "tidying"},
    {"running"},
    {"verdict", "shipment"},
    {"outcome", "explanation", "vigil"},
    {"packs", "ladder", "examination"},
    {"watch", "waiting", "submit", "image", "definition", "payload", "logs", "glue"},
    {"preflight", "diagnosis"},
    {"session", "runtime", "artifacts"},
    {"patience"},
    {"transportable", "pace", "gather", "refusals", "origin"},
    {"settings"},
    {"option_types"},
    {"requirements", "patterns", "variables", "volumes", "configuration", "covalent_server"},
    {"account", "errors", "docker_client", "threads", "fairness", "milestone", "background", "progress"},
    {"job", "plain_text", "contract", "fargate"},
]
"""From top to bottom; a module imports from floors below its own, or from its own package."""

MAY_IMPORT_FROM_BELOW_ONLY = {
    "runtime": {"contract"},  # what runs in the container knows nothing else of ours
    # An AWS Batch knows nothing of who uses it, but the states of a job are AWS's, and Docker is Docker.
    "local": {"job", "docker_client", "threads"},
    "contract": set(),
    "docker_client": set(),
    "pace": set(),
    "threads": set(),
}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of this package that a file imports from, at any depth of its code."""
    rooms = set()
    package = ("covalent_awsbatch_plugin", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [module] if len(module) > 1 else [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        rooms |= {name[1] for name in names if name[0] == "covalent_awsbatch_plugin" and len(name) > 1}
    return rooms


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_module_stands_on_a_floor():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms == set().union(*FLOORS)


def test_imports_run_downwards():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "__init__.py"
        for room in imported_rooms(path) - {room_of(path), "__version__"}
        if floor_of(room) <= floor_of(room_of(path))
    ]
    assert wrong == []


def test_what_stands_alone_imports_nothing_else():
    for room, allowed in MAY_IMPORT_FROM_BELOW_ONLY.items():
        for path in PACKAGE.rglob("*.py"):
            if room_of(path) == room:
                assert imported_rooms(path) - {room} <= allowed, path


def test_only_the_session_creates_aws_clients():
    creators = {
        path.name
        for path in PACKAGE.glob("*.py")
        if "create_client(" in path.read_text()
        or "boto3.client(" in path.read_text()
        or "S3Store(" in path.read_text()
    }
    assert creators == {"session.py"}


def test_only_the_session_talks_to_aws_batch():
    """All others go through `Session.batch`, or they would neither keep the pace nor slow down with it."""
    talkers = {path.name for path in PACKAGE.rglob("*.py") if '.client("batch")' in path.read_text()}
    assert talkers == {"session.py"}


def test_nothing_writes_to_the_environment():
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) != "runtime":
            assert "os.environ[" not in path.read_text(), path
            assert "putenv" not in path.read_text(), path
