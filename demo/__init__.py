"""A workflow to watch: a hyper-parameter sweep over AWS Batch jobs, on this machine or an account."""
