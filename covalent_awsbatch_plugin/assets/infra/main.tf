# The cloud set-up is described in template.yaml alone. This makes a stack of it, and of what the stack tells a
# section for Covalent's configuration.

provider "aws" {
  region                   = var.region == "" ? null : var.region
  profile                  = var.profile == "" ? null : var.profile
  shared_credentials_files = var.credentials == "" ? null : [pathexpand(var.credentials)]

  endpoints {
    cloudformation = var.endpoint_url == "" ? null : var.endpoint_url
    iam            = var.endpoint_url == "" ? null : var.endpoint_url
    sts            = var.endpoint_url == "" ? null : var.endpoint_url
  }
}

resource "aws_cloudformation_stack" "covalent" {
  name          = var.stack_name
  template_body = file("${path.module}/template.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  on_failure    = "DELETE"
  tags          = { "covalent-awsbatch" = "terraform" } # by which `covalent-awsbatch infra` knows its own

  parameters = {
    VpcId                  = var.vpc_id
    SubnetIds              = var.subnet_ids
    SecurityGroupIds       = var.security_group_ids
    VpcCidr                = var.vpc_cidr
    S3Endpoint             = var.s3_endpoint
    InterfaceEndpoints     = var.interface_endpoints
    OnDemand               = var.on_demand
    Spot                   = var.spot
    Fargate                = var.fargate
    FargateSpot            = var.fargate_spot
    Gpu                    = var.gpu
    Arm64                  = var.arm64
    MinVcpus               = var.min_vcpus
    DesiredVcpus           = var.desired_vcpus
    MaxVcpus               = var.max_vcpus
    GpuMaxVcpus            = var.gpu_max_vcpus
    InstanceTypes          = var.instance_types
    GpuInstanceTypes       = var.gpu_instance_types
    Arm64InstanceTypes     = var.arm64_instance_types
    AllocationStrategy     = var.allocation_strategy
    SpotAllocationStrategy = var.spot_allocation_strategy
    RootVolumeGib          = var.root_volume_gib
    FairShare              = var.fair_share
    BucketName             = var.bucket_name
    ArtifactDays           = var.artifact_days
    KmsKeyArn              = var.kms_key_arn
    RepositoryName         = var.repository_name
    KeptImages             = var.kept_images
    LogRetentionDays       = var.log_retention_days
    StateChangeEvents      = var.state_change_events
  }
}

# Covalent reads this file with Python's ConfigParser, for which % begins a reference.
resource "local_file" "configuration" {
  filename        = "${path.module}/awsbatch.conf"
  file_permission = "0644"

  content = templatefile("${path.module}/awsbatch.conf.tftpl", {
    credentials  = replace(var.credentials, "%", "%%")
    profile      = replace(var.profile, "%", "%%")
    endpoint_url = replace(var.endpoint_url, "%", "%%")
    outputs      = aws_cloudformation_stack.covalent.outputs
  })
}
