"""The operations of AWS Batch, one class for each kind of resource.

A method bears its operation's name in snake case, takes the validated request and returns the
response; the API's limits and texts are applied here and in `rules`.
"""

from ..errors import refused
from ..paging import Paging

BATCH_PAGES = Paging(default_results=100, max_results=100, refuse=refused)
"""The pages of the Describe operations; ListJobs has sizes of its own."""
