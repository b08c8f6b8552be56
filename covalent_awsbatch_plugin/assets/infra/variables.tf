# The options of `covalent deploy up awsbatch`: those of InfraParameters, in its words and with its defaults,
# which Covalent drops as soon as its user gives any option. Covalent has validated what comes here.

variable "stack_name" {
  type        = string
  default     = "covalent-awsbatch"
  description = "name of the stack, with which the names of all its resources begin"
}

variable "region" {
  type        = string
  default     = ""
  description = "AWS region; empty: the profile's own"
}

variable "profile" {
  type        = string
  default     = ""
  description = "profile in the credentials or config file; empty: the default one"
}

variable "credentials" {
  type        = string
  default     = ""
  description = "AWS shared credentials file; empty: where the AWS SDKs look by themselves"
}

variable "endpoint_url" {
  type        = string
  default     = ""
  description = "endpoint of all AWS services, such as a local AWS; empty: AWS's own"
}

variable "vpc_id" {
  type        = string
  default     = ""
  description = "VPC of your own; empty: one is made, with two public subnets"
}

variable "subnet_ids" {
  type        = string
  default     = ""
  description = "subnets of that VPC, with commas between them"
}

variable "security_group_ids" {
  type        = string
  default     = ""
  description = "security groups of that VPC, with commas between them; empty: one is made that lets nothing in"
}

variable "vpc_cidr" {
  type        = string
  default     = "10.42.0.0/16"
  description = "addresses of the VPC that is made, a /16"
}

variable "s3_endpoint" {
  type        = bool
  default     = true
  description = "whether the VPC that is made has a gateway endpoint for S3; it costs nothing"
}

variable "interface_endpoints" {
  type        = bool
  default     = false
  description = "whether the VPC that is made has interface endpoints for ECR, Logs and ECS, which cost by the hour"
}

variable "on_demand" {
  type        = bool
  default     = true
  description = "whether there is a queue of EC2 on-demand instances"
}

variable "spot" {
  type        = bool
  default     = true
  description = "whether there is a queue of EC2 Spot instances"
}

variable "fargate" {
  type        = bool
  default     = true
  description = "whether there is a queue of Fargate"
}

variable "fargate_spot" {
  type        = bool
  default     = false
  description = "whether there is a queue of Fargate Spot"
}

variable "gpu" {
  type        = bool
  default     = false
  description = "whether there is a queue of EC2 on-demand instances with GPUs"
}

variable "arm64" {
  type        = bool
  default     = false
  description = "whether there is a queue of EC2 on-demand instances with Graviton"
}

variable "min_vcpus" {
  type        = number
  default     = 0
  description = "vCPUs that each EC2 environment keeps running, also without jobs"
}

variable "desired_vcpus" {
  type        = number
  default     = 0
  description = "vCPUs that each EC2 environment begins with"
}

variable "max_vcpus" {
  type        = number
  default     = 256
  description = "most vCPUs of each environment"
}

variable "gpu_max_vcpus" {
  type        = number
  default     = 64
  description = "most vCPUs of the environment with GPUs"
}

variable "instance_types" {
  type        = string
  default     = "optimal"
  description = "EC2 instance types or families of on-demand and Spot instances, with commas between them"
}

variable "gpu_instance_types" {
  type        = string
  default     = "g4dn,g5,g6"
  description = "the same, for GPUs"
}

variable "arm64_instance_types" {
  type        = string
  default     = "c7g,m7g,r7g"
  description = "the same, for Graviton"
}

variable "allocation_strategy" {
  type        = string
  default     = "BEST_FIT_PROGRESSIVE"
  description = "how AWS Batch chooses on-demand instances"
}

variable "spot_allocation_strategy" {
  type        = string
  default     = "SPOT_PRICE_CAPACITY_OPTIMIZED"
  description = "how AWS Batch chooses Spot instances"
}

variable "root_volume_gib" {
  type        = number
  default     = 100
  description = "disk of each EC2 instance in GiB, which its images and containers share"
}

variable "fair_share" {
  type        = bool
  default     = false
  description = "whether the queues share their capacity among `share_identifier`s; every job then needs one"
}

variable "bucket_name" {
  type        = string
  default     = ""
  description = "name of the bucket; empty: stack, account and region, joined by '-'"
}

variable "artifact_days" {
  type        = number
  default     = 30
  description = "days after which S3 deletes what jobs have left"
}

variable "kms_key_arn" {
  type        = string
  default     = ""
  description = "ARN of the KMS key that encrypts the bucket; empty: S3's own encryption"
}

variable "repository_name" {
  type        = string
  default     = ""
  description = "name of the ECR repository; empty: the stack's name"
}

variable "kept_images" {
  type        = number
  default     = 100
  description = "images that the repository keeps, the newest"
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "days that logs are kept, one of those that CloudWatch has"
}

variable "state_change_events" {
  type        = bool
  default     = false
  description = "whether changes of jobs' states come into an SQS queue, through EventBridge"
}
