"""Receives webhooks of Docket, believes those that are signed, and acts on each once.

    pip install standardwebhooks==1.1.0
    WEBHOOK_SECRET=whsec_… python receiver.py 9000

Prints what it took: type, stream, version, id.
"""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LARGEST = 2 * 1024 * 1024
webhook = Webhook(os.environ["WEBHOOK_SECRET"])
# A service keeps these with what it does, in the same transaction of its database.
seen: set[str] = set()
one_at_a_time = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if length > LARGEST:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            # Over the bytes as they came: parsed and written again they may differ.
            message = webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            return self.answer(401)
        delivery = self.headers["webhook-id"]
        # What was taken once comes again when our answer was lost.
        with one_at_a_time:
            if delivery not in seen:
                act(delivery, message)
                seen.add(delivery)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def act(delivery: str, message: dict) -> None:
    data = message["data"]
    print(message["type"], data["stream"], data["stream_version"], delivery, flush=True)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
