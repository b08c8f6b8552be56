"""The cloud set-up: what an AWS account must have, made, shown and taken away as one CloudFormation stack."""
