"""AWS Batch on one's own machine: Batch and CloudFormation written here, the other services from moto.

`aws.LocalAWS` is what a person or a test uses; `server` documents the switches for faults under
`/_local/`, docs/local-faults.md the plans that say what goes wrong, and when. An operation of Batch that is
not here answers 501 with its name.

Where it differs from AWS on purpose:

- `process_runner` runs jobs as processes of this machine, without image, user, size of `/dev/shm`, volumes
  (but directories at their own paths) or a limit on memory. A process without a handler for SIGTERM ends
  with 143; as PID 1 of a container it would ignore it.
- `containers` runs them in containers of the Docker engine. A fraction of a vCPU on Fargate is a share and
  no limit, and its disk is this machine's. A file system of EFS is a directory of the local AWS's state.
- Secrets come from moto's Secrets Manager and Parameter Store; whether the execution role may read them is
  not looked at.
- A compute environment has no more vCPUs than the machine (or `--vcpus`), and its memory, whatever it was
  made with and tells. With the tag `local:memory-mib` it has that memory and all the vCPUs that it asks for.
  There are no GPUs.
- What takes AWS minutes (placement, image, blocked reasons) takes fractions of a second, and
  `Timing.time_scale` shortens time limits and the grace after SIGTERM.
- There is one region: requests signed for another one see the same jobs.
- Jobs and definitions are kept until the local AWS stops; AWS forgets jobs after some days.
- Multi-node, multi-container (ecsProperties) and EKS jobs, consumable resources and service jobs are
  not here and answer 501.
- Scheduling policies are kept and shown, not followed: a fair-share queue is first in, first out.
- EventBridge is told nothing of jobs.
- Nothing is authenticated or authorized, but for images that are pushed and pulled.
"""
