"""No error, with all that stands behind it, has the credentials with which AWS was asked.

AWS answers a signature that does not fit by repeating the request that it saw, the session's token in its
headers with it.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import outcome, packs, payload, preflight
from covalent_awsbatch_plugin.errors import AWSBatchError, BucketError, CredentialsError
from covalent_awsbatch_plugin.payload import Parcel
from covalent_awsbatch_plugin.session import Session, open_session
from covalent_awsbatch_plugin.settings import Settings

KEY_ID, SECRET_KEY, TOKEN = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "FwoGZXIvYXdzTOKEN",
)


class Repeating(BaseHTTPRequestHandler):
    """Answers as AWS does where it takes the secret key for wrong."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = f"GET\n/\n\nhost:x\nx-amz-security-token:{self.headers['x-amz-security-token']}\n"
        said = "The request signature we calculated does not match the signature you provided."
        is_query = "x-www-form-urlencoded" in self.headers.get("content-type", "")
        # S3 repeats it beside its message; STS, as others, in it.
        message = (
            f"{said} The Canonical String for this request should have been\n'{seen}'" if is_query else said
        )
        error = (
            f"<Code>SignatureDoesNotMatch</Code><Message>{message}</Message><AWSAccessKeyId>{KEY_ID}"
            f"</AWSAccessKeyId><CanonicalRequest>{seen}</CanonicalRequest>"
        )
        body = (
            f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
            if is_query
            else f"<Error>{error}</Error>"
        )
        self.send_response(403)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_PUT = do_POST = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    credentials = tmp_path / "credentials"
    lines = [f"aws_access_key_id = {KEY_ID}", f"aws_secret_access_key = {SECRET_KEY}"]
    credentials.write_text("\n".join(["[default]", *lines, f"aws_session_token = {TOKEN}\n"]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Repeating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Settings(
            credentials=str(credentials),
            region="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            cache_dir=str(tmp_path),
        )
        server.shutdown()


async def find(session: Session, settings: Settings) -> None:
    found = await outcome.find(session, settings, "d", 0, [1])
    assert isinstance(found, AWSBatchError)
    raise found


ACTIONS: dict[str, Callable[[Session, Settings], Awaitable[object]]] = {
    "store a pack": lambda session, settings: payload.upload_pack(
        session, settings, [Parcel("d", 0, b"payload", {}, {})]
    ),
    "list packs": lambda session, settings: packs.read(session, "bucket", "d"),
    "list outcomes": lambda session, settings: outcome.attempts_of(session, "bucket", "d", 0),
    "fetch an outcome": find,
    "ask who we are": lambda session, settings: preflight.identity(session),
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_what_aws_repeats_of_a_request_is_not_passed_on(settings: Settings, action: str):
    with pytest.raises((BucketError, CredentialsError)) as raised:
        await ACTIONS[action](open_session(settings), settings)
    assert "signature" in str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))  # as Python prints it, causes and all
    for secret in (TOKEN, SECRET_KEY, KEY_ID):
        assert secret not in shown
