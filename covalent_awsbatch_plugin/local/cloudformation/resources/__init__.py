"""The types of resources that the local CloudFormation can make."""
