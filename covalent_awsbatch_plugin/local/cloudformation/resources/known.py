"""All types of resources that the local CloudFormation can make, by name."""

from __future__ import annotations

from . import batch, ec2, iam, queues, s3, storage
from .base import ResourceType

KNOWN: dict[str, ResourceType] = {
    kind.type: kind
    for kind in (
        batch.ComputeEnvironment(),
        batch.JobQueue(),
        batch.SchedulingPolicy(),
        ec2.GatewayAttachment(),
        ec2.InternetGateway(),
        ec2.LaunchTemplate(),
        ec2.Route(),
        ec2.RouteTable(),
        ec2.RouteTableAssociation(),
        ec2.SecurityGroup(),
        ec2.Subnet(),
        ec2.Vpc(),
        ec2.VpcEndpoint(),
        iam.InstanceProfile(),
        iam.ManagedPolicy(),
        iam.Role(),
        queues.Queue(),
        queues.QueuePolicy(),
        queues.Rule(),
        s3.Bucket(),
        s3.BucketPolicy(),
        storage.LogGroup(),
        storage.Repository(),
    )
}
