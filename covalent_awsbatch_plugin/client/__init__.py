"""Python functions on AWS Batch without a workflow engine, shaped like `concurrent.futures`.

    with AWSBatch(vcpu=1, memory=2) as batch:
        job = batch.submit(f, x)
        jobs = batch.map(f, xs)
        print(job.result(), list(jobs.results()))

The core is the one that Covalent's executor uses; its event loop runs in a thread of this process. Functions
and arguments are pickled where they are given, so that what cannot be pickled is said there.
"""

from .array import JobArray
from .batch import AWSBatch
from .job import Job

__all__ = ["AWSBatch", "Job", "JobArray"]
