"""ECR on one's own machine: its API here, its images in a real registry behind the local AWS's port.

`ecr` puts it together and runs it. `distribution` is the process that holds the images, `store` what it
holds and `storage` its files. `proxy` stands before it at `/v2/` with ECR's rules; `relay` passes on
what they allow. `api` offers the operations in `repositories` and `images`; `records` are what only ECR
knows, `tokens` who may come in, and `faults` what tests break by `switches`.

Where it differs from AWS on purpose:

- Tokens are the passwords of one user and are forgotten when the local AWS stops.
- Layers are pushed and pulled at `/v2/` alone: the API's own operations for them answer 501.
- Layers that no image needs any more stay on the disk until the state directory goes.
"""

from ..errors import invalid
from ..paging import Paging

ECR_PAGES = Paging(default_results=100, max_results=1000, refuse=invalid)
