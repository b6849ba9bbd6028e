"""A mail server that prints each mail that it takes as a line of JSON. After its start it prints its port.

usage: sink.py [--tls CERTIFICATE] [--login USER PASSWORD]
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    print(json.dumps(what), flush=True)


class Sink:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: message.get_body((kind,)).get_content()
        say(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            headers=[[name, str(value)] for name, value in message.items()],
            to_name=message["to"].addresses[0].display_name,
            text=part("plain"),
            html=part("html"),
            secure=session.ssl is not None,
            authenticated=session.authenticated,
        )
        return "250 2.0.0 taken"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls")
    parser.add_argument("--login", nargs=2)
    options = parser.parse_args()
    more = {}
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.tls)
        more |= {"tls_context": context, "require_starttls": True}
    if options.login:

        def log_in(server, session, envelope, mechanism, data):
            given = [data.login.decode(), data.password.decode()]
            say(tried=mechanism)
            return AuthResult(success=given == options.login, handled=False)

        more |= {"authenticator": log_in, "auth_required": True}
    make = lambda: SMTP(Sink(), hostname="sink.example", enable_SMTPUTF8=True, **more)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
