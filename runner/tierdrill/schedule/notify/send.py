"""One attempt to deliver one message: by HTTP, or by SMTP in a thread. Never raises; what came back is an `Answer`.

Proxies of the environment are not used, redirects are not followed (a signed message or a secret URL goes where the
document says and nowhere else), every attempt has a bound in time, and of an answer only the beginning is read.
"""

import asyncio
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from tierdrill.credentials import SecretMissing
from tierdrill.documents.models.channels import Channel, EmailChannel, PagerDutyChannel, SlackChannel, WebhookChannel
from tierdrill.monitoring.pagerduty import ENQUEUE_PATH
from tierdrill.redaction import Secrets
from tierdrill.schedule.notify import render
from tierdrill.schedule.notify.notification import RESOLVE, Answer, Message, may_pass, retry_after

ANSWER_BYTES = 2048
SEEN_MAX = 300


async def send(channel: Channel, message: Message, secrets: Secrets) -> Answer:
    try:
        async with asyncio.timeout(channel.timeout):
            answer = await _sent(channel, message, secrets)
    except SecretMissing as missing:
        answer = Answer(False, str(missing), again=True)
    except TimeoutError:
        answer = Answer(False, f"no answer within {channel.timeout:g} s", again=True)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        answer = Answer(False, f"the URL cannot be used: {error}")
    except (httpx.HTTPError, OSError) as error:
        answer = Answer(False, f"{type(error).__name__}: {error}", again=True)
    except Exception as error:
        # A defect here must cost one message's attempt, not all that wait behind it.
        answer = Answer(False, f"internal error: {type(error).__name__}: {error}", again=True)
    return Answer(answer.ok, render.one_line(secrets.blot(answer.seen), SEEN_MAX), answer.again, answer.wait_s)


async def _sent(channel: Channel, message: Message, secrets: Secrets) -> Answer:
    notice, repeated = message.notice, message.repeated
    match channel:
        case WebhookChannel():
            secret = secrets.read(channel.secret)
            return await _post(
                channel.url, render.webhook(notice, message.id, repeated, secret, time.time()), channel.timeout, secrets
            )
        case SlackChannel():
            url = secrets.read(channel.url)
            return await _post(url, render.slack(notice, message.id, repeated), channel.timeout, secrets)
        case PagerDutyChannel():
            key = secrets.read(channel.routing_key)
            action = RESOLVE if message.action == RESOLVE else "trigger"
            event = render.pagerduty(notice, message.subject, action, key, message.id, repeated)
            return await _post(channel.url.rstrip("/") + ENQUEUE_PATH, event, channel.timeout, secrets)
        case EmailChannel():
            password = secrets.read(channel.password) if channel.password is not None else ""
            letter = render.mail(notice, message.id, channel, repeated, time.time())
            return await _in_thread(lambda: _mail(channel, password, letter, secrets))


async def _post(url: str, post: render.Post, timeout_s: float, secrets: Secrets) -> Answer:
    limits = httpx.Timeout(timeout_s)
    with secrets.hushed():
        async with (
            httpx.AsyncClient(
                timeout=limits, trust_env=False, follow_redirects=False, verify=ssl.create_default_context()
            ) as client,
            client.stream("POST", url, content=post.body, headers=dict(post.headers)) as response,
        ):
            text = (await _beginning(response)).decode("utf-8", "replace").strip()
    code = response.status_code
    seen = f"{code} {response.reason_phrase}".strip() + (f": {text}" if text else "")
    if 200 <= code < 300:
        return Answer(True, seen)
    if 300 <= code < 400:
        return Answer(False, f"{seen} (redirects are not followed)")
    return Answer(False, seen, may_pass(code), retry_after(response.headers.get("Retry-After"), time.time()))


async def _beginning(response: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= ANSWER_BYTES:
            break
    return bytes(read[:ANSWER_BYTES])


async def _in_thread(work: Callable[[], Answer]) -> Answer:
    """Run blocking work in a thread that never keeps the process alive, however long its server keeps it waiting."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def settle(result: Answer | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            # The loop has gone; nobody waits for this any more.
            return

    threading.Thread(target=run, name="tierdrill-mail", daemon=True).start()
    return await done


def _mail(channel: EmailChannel, password: str, letter: Any, secrets: Secrets) -> Answer:
    host, port, timeout_s = channel.host.strip("[]"), channel.port_used, channel.timeout
    name = _own_name()
    try:
        if channel.security == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, name, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            client = smtplib.SMTP(host, port, name, timeout=timeout_s)
        with client:
            if channel.security == "starttls":
                client.starttls(context=ssl.create_default_context())
            if channel.user is not None:
                secrets.hide_login(channel.user, password)
                client.login(channel.user, password)
            refused = client.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        return Answer(False, f"all recipients refused: {_refusals(error.recipients)}", _passing(error.recipients))
    except smtplib.SMTPResponseException as error:
        told = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        # 4xx of SMTP is a refusal that may pass (RFC 5321, 4.2.1); -1 is a connection that broke.
        return Answer(False, f"{error.smtp_code} {told}", not 500 <= error.smtp_code < 600)
    except smtplib.SMTPNotSupportedError as error:
        return Answer(False, str(error))
    except ssl.SSLCertVerificationError as error:
        return Answer(False, f"certificate verification failed: {error.verify_message}", again=True)
    except (smtplib.SMTPException, OSError) as error:
        return Answer(False, f"{type(error).__name__}: {error}", again=True)
    return Answer(True, f"taken, but refused for {_refusals(refused)}" if refused else "250 taken")


def _refusals(recipients: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who}: {code} {told.decode('utf-8', 'replace')}" for who, (code, told) in recipients.items())


def _passing(recipients: dict[str, tuple[int, bytes]]) -> bool:
    return any(not 500 <= code < 600 for code, _ in recipients.values())


def _own_name() -> str:
    """What we call ourselves; smtplib would ask the DNS, which may take longer than the whole attempt has."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
