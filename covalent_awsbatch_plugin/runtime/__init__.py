"""What runs in an AWS Batch job's container: `python -m covalent_awsbatch_plugin.runtime`.

Two processes share the work. The *worker* runs the user's code and nothing else. Its parent, the
*supervisor*, talks to S3, keeps the streams, answers SIGTERM and leaves the outcome; so there is an
outcome even where the user's code crashes, runs out of memory or cannot be interrupted.
"""
