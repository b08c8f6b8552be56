"""An AWS in the memory of one process, for measurements: S3, Batch, and what little else a driver asks.

It answers after a latency that is set, throttles Batch as AWS does, and runs jobs without any process: a
second after its start a job's function is unpickled, called, and its outcome stored, by `contract`. So
what a driver costs can be measured at ten thousand tasks on two cores, with values that are true end to
end. `local/` is the AWS to test with; here every request is cheap, and nothing is checked that costs time.

    python -m benchmarks.in_memory_aws --port 0 --latency-ms 30 --job-s 1 --throttle
"""
