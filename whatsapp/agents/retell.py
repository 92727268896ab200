"""Retell AI as an agent, by its own client: create a chat, ask for completions, end it.

The contact goes along as dynamic variables (``{{contact_name}}`` in a prompt). Source:
docs.retellai.com, "Create Chat", "Create Chat Completion", "End Chat".
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import retell

from whatsapp.agents.protocol import MAX_BYTES, Answer, NoAnswer, Question, checked


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes tens of milliseconds: once is enough."""
    return httpx.create_ssl_context(trust_env=False)


class Limited(httpx.BaseTransport):
    """Ends an exchange after `seconds` in all, or at more than `MAX_BYTES`: the client's own
    time-out is one for each read."""

    def __init__(self, seconds: float) -> None:
        self._plain = httpx.HTTPTransport(verify=_trusted())
        self._end = time.monotonic() + seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._plain.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  of a sync transport
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Cut(response.stream, self._end),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._plain.close()


class _Cut(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for chunk in self._stream:
            read += len(chunk)
            if read > MAX_BYTES:
                raise NoAnswer("too_long", f"Retell answered more than {MAX_BYTES // 1024} KiB")
            if time.monotonic() > self._end:
                raise httpx.ReadTimeout("the answer trickles")
            yield chunk

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Retell:
    """The chat agent `agent_id` of whoever owns `api_key`."""

    agent_id: str
    api_key: str
    base_url: str

    def begin(self, variables: Mapping[str, str], *, session: str, deadline: float) -> str:
        with self._calling(deadline) as client:
            chat = client.chat.create(
                agent_id=self.agent_id,
                metadata={"session": session},
                retell_llm_dynamic_variables=dict(variables),
            )
        # The client checks no types: whatever JSON came is in there as it is.
        name: object = getattr(chat, "chat_id", None)
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise NoAnswer("bad_answer", "Retell named no chat")
        return name

    def answer(self, question: Question, *, deadline: float) -> Answer:
        with self._calling(deadline) as client:
            said = client.chat.create_chat_completion(
                chat_id=question.session, content=question.text or f"[{question.kind}]"
            )
        messages: object = getattr(said, "messages", None)
        if not isinstance(messages, list):
            raise NoAnswer("bad_answer", "Retell answered without messages")
        texts = [
            getattr(message, "content", None)
            for message in messages
            if getattr(message, "role", None) == "agent"
        ]
        return Answer(checked(texts))

    def end(self, session: str, *, deadline: float) -> None:
        with self._calling(deadline) as client:
            client.chat.end(session)

    @contextmanager
    def _calling(self, deadline: float) -> Iterator[retell.Retell]:
        """A client of its own for each call. Its retries would double a question: there are none.

        `deadline` bounds each read, too: an answer that trickles is cut off by `Limited`.
        """
        http = httpx.Client(transport=Limited(deadline), trust_env=False, follow_redirects=False)
        try:
            with http:
                yield retell.Retell(
                    api_key=self.api_key,
                    base_url=self.base_url,
                    timeout=deadline,
                    max_retries=0,
                    http_client=http,
                )
        except retell.APITimeoutError as error:
            raise NoAnswer("too_slow", "Retell did not answer in time") from error
        except retell.APIConnectionError as error:
            if isinstance(error.__cause__, NoAnswer):
                raise error.__cause__ from error
            raise NoAnswer("unreachable", "Retell cannot be reached") from error
        except (retell.AuthenticationError, retell.PermissionDeniedError) as error:
            raise NoAnswer("refused", "Retell refuses the API key") from error
        except retell.APIStatusError as error:
            raise NoAnswer("bad_status", f"Retell answered {error.status_code}") from error
        except (retell.RetellError, ValueError) as error:
            raise NoAnswer("not_json", "Retell’s answer is no JSON") from error
