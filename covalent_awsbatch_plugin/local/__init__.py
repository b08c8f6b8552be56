"""AWS Batch on one's own machine: S3, IAM, STS and Logs from moto, Batch written here.

`local.aws.LocalAWS` is what a person or a test uses; `local.server` documents the HTTP surface,
with the switches for faults under `/_local/`.
"""
