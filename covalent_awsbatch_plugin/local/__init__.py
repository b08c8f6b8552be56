"""AWS Batch on one's own machine: S3, IAM, STS and Logs from moto, Batch written here.

`aws.LocalAWS` is what a person or a test uses; `server` documents the switches for faults under
`/_local/`, docs/local-faults.md the plans that say what goes wrong, and when. An operation of Batch that is
not here answers 501 with its name.

Where it differs from AWS on purpose:

- `process_runner` runs jobs as processes of this machine, without image, user, mounts, secrets or a
  limit on memory. A process without a handler for SIGTERM ends with 143; as PID 1 of a container it
  would ignore it.
- `containers` runs them in containers of the Docker engine. They have no secrets, a fraction of a
  vCPU on Fargate is a share and no limit, and volumes are this machine's or the job's own.
- The memory of a compute environment is its tag `local:memory-mib`, read when the environment is
  created or updated, and the machine's memory without it. There are no GPUs.
- What takes AWS minutes (placement, image, blocked reasons) takes fractions of a second, and
  `Timing.time_scale` shortens time limits and the grace after SIGTERM.
- There is one region: requests signed for another one see the same jobs.
- Jobs and definitions are kept until the local AWS stops; AWS forgets jobs after some days.
- Multi-node, multi-container (ecsProperties) and EKS jobs, fair-share scheduling, consumable
  resources and service jobs are not here and answer 501.
- Nothing is authenticated or authorized, but for images that are pushed and pulled.
"""
