"""Packaging. The dependencies stand in requirements.txt, the tool configuration in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGE = "covalent_awsbatch_plugin"

VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / PACKAGE / "__init__.py").read_text())
REQUIREMENTS = [
    line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]

INFRA_KINDS = ["md", "tf", "tftpl", "yaml"]
"""Only these: Terraform keeps its state and its providers beside them, and both name somebody's account."""

LOCAL = [
    "aiohttp>=3.9,<4",
    "moto[server]>=5.2.5,<6",
    "a2wsgi>=1.10,<2",
    "PyYAML>=6",
    "starlette>=0.40",
    "uvicorn>=0.30",
]
DEMO = ["rich>=13", "scikit-learn>=1.4"]
DEV = [
    "cfn-lint>=1.40,<2",
    "toml>=0.10",
    "hypothesis>=6.100",
    "mypy>=1.14",
    "pytest>=8",
    "pytest-asyncio>=1.0",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "python-hcl2>=8.1",
    "ruff>=0.9",
    "types-PyYAML",
    "setuptools>=68",
]

setup(
    name="covalent-awsbatch-plugin",
    version=VERSION.group(1) if VERSION else "0",
    description="Run Covalent electrons, and plain Python functions, as AWS Batch jobs",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    include_package_data=True,
    package_data={PACKAGE: ["py.typed", *(f"assets/infra/*.{kind}" for kind in INFRA_KINDS)]},
    python_requires=">=3.10",
    install_requires=REQUIREMENTS,
    extras_require={"local": LOCAL, "demo": LOCAL + DEMO, "dev": LOCAL + DEMO + DEV},
    entry_points={
        "covalent.executor.executor_plugins": ["awsbatch = covalent_awsbatch_plugin.awsbatch"],
        "console_scripts": ["covalent-awsbatch = covalent_awsbatch_plugin.cli:main"],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: System :: Distributed Computing",
    ],
)
