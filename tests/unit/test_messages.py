"""`docs/messages.md` lists all texts that users see.

The sections about API errors show each message as the program produces it, with what leads to it. Those about the rest
of the program show every other text of its sources, so a new text changes the page wherever it is added. Run from the
repository's root, this writes the page; review the difference:

    PYTHONPATH=operator:tests python tests/unit/test_messages.py
"""

import asyncio
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

import bek_operator
import bek_operator.whatsapp
from bek_operator.http import errors as http_errors
from bek_operator.http.errors import CertificateFault, CertificateRefusedError, HttpError
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp import error_classes
from bek_operator.whatsapp.cloud import codes as cloud
from bek_operator.whatsapp.cloud import provider_errors
from bek_operator.whatsapp.cloud.backend import Cloud
from bek_operator.whatsapp.error_classes import ErrorClass
from bek_operator.whatsapp.message_context import MessageContext, context_of
from bek_operator.whatsapp.on_premises import errors as on_premises
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from bek_operator.whatsapp.secret_text import flaw_of, flaw_of_access_token
from bek_operator.whatsapp.transport_errors import transport_failure
from support.builders import endpoint
from support.simulators.in_process import InProcessClient
from support.simulators.provider import Provider
from unit.source_texts import texts_below

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "messages.md"
USER_TEXTS: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "crds").rglob("*"),
        *(ROOT / "deploy").rglob("*.yaml"),
    ]
)
UNCLEAR: Final = re.compile(
    r"\b(may not|makes no sense|cannot be told|the peer|a person|anew|for ever|meanwhile|has to|have to|on its way)\b",
    re.IGNORECASE,
)
INTRODUCTION: Final = """# Messages

Every text that the operator can show, made from its sources by a test. [Reasons](reasons.md) says what to do.

## API errors

The messages of API errors, by code or HTTP status. The Secret `flows` and the hosts are examples. The status shows the
message in the number's row, with the code or HTTP status at the end. A transient error is retried until it passes. A
limited one needs a user after some tries, a terminal one at once.
"""
TEXTS_INTRODUCTION: Final = """## Other texts

All other texts, by package. Many messages are put together from several of them. `{name}` stands for a value, `…` for
one that is computed, `%s` and `%g` for the values of a log line. A log line has its level.
"""
PACKAGES: Final[Mapping[str, str]] = {
    "numbers": "Rows of the status",
    "endpoint": "Flow endpoint",
    "status": "Conditions and events",
    "keys": "Keys",
    "crd": "Specs that cannot be read",
    "net": "URLs, hosts, proxies and CA bundles",
    "http": "Connections to APIs",
    "whatsapp": "Calls",
    "cluster": "API server",
    "cli": "kubectl bek",
    "controller": "Controller",
    "": "Command line, settings, start and end",
}
META: Final = CloudEndpoint(
    url=Url(host="graph.facebook.com", port=443, path="/v25.0/1"),
    trust=ServerTrust(ca_bundle=None, server_name="graph.facebook.com"),
    token=SecretStr("EAAGtoken"),
    source="Secret flows",
)
PROVIDER: Final = replace(META, url=replace(META.url, host="waba.example.com"), provider=True)
CLOUD_CONTEXT, PROVIDER_CONTEXT = context_of(META), context_of(PROVIDER)
ON_PREMISES_CONTEXT: Final = context_of(replace(endpoint(), source="Secret flows"))

_SYNTAX, _ESCAPED = re.compile("[|<*]"), r"\\\g<0>"

Row = tuple[str, ...]


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(_SYNTAX.sub(_ESCAPED, cell) for cell in line)} |\n" for line in lines)


def by_class(classes: Iterable[tuple[str, ErrorClass]]) -> dict[ErrorClass, str]:
    """Return the error classes, each with all labels that lead to it."""
    labels: dict[ErrorClass, list[str]] = {}
    for label, error_class in classes:
        labels.setdefault(error_class, []).append(label)
    return {error_class: ", ".join(found) for error_class, found in labels.items()}


def cloud_classes() -> Iterator[tuple[str, ErrorClass]]:
    """Return the error classes of the Cloud API, each with what leads to it."""
    yield from ((str(code), error_class) for code, error_class in cloud.CODES.items())
    yield from ((f"{codes[0]} to {codes[-1]}", error_class) for codes, error_class in cloud.RANGES)
    yield from ((f"{code}/{subcode}", error_class) for (code, subcode), error_class in cloud.SUBCODES.items())
    yield from ((f"{code} to a publish", error_class) for code, error_class in cloud.ON_PUBLISH.items())
    yield f"{cloud.PARAMETER} with HTTP 422", cloud.NOT_ELIGIBLE
    yield f"{cloud.PARAMETER} without appsecret_proof", cloud.PROOF_REQUIRED
    yield f"{cloud.PARAMETER} with appsecret_proof", cloud.PROOF_REFUSED
    yield "`success: false`", cloud.SUCCESS_FALSE
    yield "undocumented, transient or with HTTP 5xx", cloud.API_FAILURE
    yield from ((f"HTTP {status}", error_class) for status, error_class in cloud.STATUSES.items())


def any_api_classes() -> Iterator[tuple[str, ErrorClass]]:
    """Return the error classes of every API, each with what leads to it."""
    yield "HTTP 429", error_classes.RATE_LIMITED
    yield "HTTP 404", error_classes.NOT_FOUND
    yield "HTTP 3xx", error_classes.REDIRECT
    yield "HTTP 5xx", error_classes.SERVER_ERROR
    yield "undocumented, or other HTTP 4xx", error_classes.UNDOCUMENTED
    yield "undocumented, to a publish, mentions the public key", error_classes.KEY_MENTIONED
    yield "another response", error_classes.NOT_THIS_API
    yield "VALID without a readable key", error_classes.VALID_WITHOUT_KEY


def on_premises_classes() -> Iterator[tuple[str, ErrorClass]]:
    """Return the error classes of the On-Premises API, each with what leads to it."""
    yield from ((str(code), error_class) for code, error_class in on_premises.CODES.items())
    yield from ((f"HTTP {status}", error_class) for status, error_class in on_premises.STATUSES.items())


def error_class_table(classes: Iterable[tuple[str, ErrorClass]], context: MessageContext) -> str:
    """Return the table of error classes as users of one API see them."""
    return table(
        ("code", "reason", "retry", "message"),
        (
            (label, error_class.reason, error_class.retry.name.lower(), error_class.render(context))
            for error_class, label in by_class(classes).items()
        ),
    )


def provider_section() -> str:
    """Return the messages that differ at a provider, and those of its own errors."""
    classes = ((label, one) for label, one in chain(any_api_classes(), cloud_classes()) if one.at_provider)
    documented = ((f"`{pattern}`", error_class) for pattern, error_class in provider_errors.DOCUMENTED)
    return error_class_table(chain(classes, documented), PROVIDER_CONTEXT)


def transport_section() -> str:
    """Return the messages of calls without a response, of which `…` says more."""
    errors = [error for error in vars(http_errors).values() if isinstance(error, type) and issubclass(error, HttpError)]
    faults: list[HttpError] = [error("…") for error in errors if error not in {HttpError, CertificateRefusedError}]
    faults += [CertificateRefusedError(f"… ({fault.value})", fault) for fault in CertificateFault]
    found = [(type(error).__name__, transport_failure(error, CLOUD_CONTEXT)) for error in faults]
    return table(
        ("error", "reason", "retry", "message"),
        ((name, failure.reason, failure.retry.name.lower(), failure.message) for name, failure in found),
    )


def credentials_section() -> str:
    """Return the messages about credentials that are not even sent, and those about texts that the API refused."""
    backend = Cloud(InProcessClient(Provider([])), RateLimiters(), lambda: 0.0)
    unusable = (
        replace(META, token=SecretStr("")),
        replace(META, token=SecretStr('"EAAGtoken"')),
        replace(META, app_secret=SecretStr("<secret>")),
        replace(PROVIDER, header="a b"),
    )
    failures = [asyncio.run(backend.read(one)) for one in unusable]
    texts = ('"t"', 't"', '{"t": 1}', "Bearer t", "TOKEN=t", "<t>", r"t\n", "a\nb", " t")
    flaws = dict.fromkeys([*map(flaw_of, texts), *map(flaw_of_access_token, ("RUFB", "t"))])
    refused = (
        cloud.CODES[190].render(replace(CLOUD_CONTEXT, flaw=f"the access token {flaw}")) for flaw in flaws if flaw
    )
    return table(
        ("when", "message"),
        chain(
            (("before a call", failure.message) for failure in failures if isinstance(failure, Failure)),
            (("refused", message) for message in refused),
        ),
    )


SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    "Any API": lambda: error_class_table(any_api_classes(), CLOUD_CONTEXT),
    "Cloud API": lambda: error_class_table(cloud_classes(), CLOUD_CONTEXT),
    "Providers, where they differ": provider_section,
    "On-Premises API": lambda: error_class_table(on_premises_classes(), ON_PREMISES_CONTEXT),
    "No response": transport_section,
    "Credentials": credentials_section,
}


def api_errors() -> str:
    """Return the sections about API errors."""
    return "\n".join(f"### {title}\n\n{section()}" for title, section in SECTIONS.items())


def other_texts(shown: str) -> Iterator[str]:
    """Yield a section for each package, of the texts that are not in messages which the page shows already."""
    texts: dict[str, list[Row]] = {package: [] for package in PACKAGES}
    for text in texts_below(Path(bek_operator.__file__).parent):
        package = text.module.rpartition("/")[0].partition("/")[0]
        if package != "whatsapp" or text.level or not is_in(text.template, shown):
            texts.setdefault(package, []).append((text.module, text.level, text.template.strip()))
    for package, rows in texts.items():
        yield f"### {PACKAGES.get(package, package)}\n\n{table(('module', 'log', 'text'), rows)}"


def is_in(template: str, shown: str) -> bool:
    """Return whether a message with this template, whatever its placeholders stand for, is in a text."""
    return re.search(re.sub(r"\\\{\w+\\\}|…", ".+", re.escape(template)), shown) is not None


def page() -> str:
    """Return the page as the program's tables and sources make it."""
    errors = api_errors()
    shown = re.sub(r"\\([|<*])", r"\1", errors)
    return "\n".join([INTRODUCTION, errors, TEXTS_INTRODUCTION, *other_texts(shown)])


def test_the_page_is_what_the_program_makes_it() -> None:
    """A changed message is reviewed with the page; the module's docstring says how to renew it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def classes_in(value: object) -> Iterator[ErrorClass]:
    """Return the error classes in a value, however deep in tuples and mappings."""
    if isinstance(value, ErrorClass):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(classes_in, value.values()))
    elif isinstance(value, tuple):
        yield from chain.from_iterable(map(classes_in, value))


def test_the_page_has_every_error_class() -> None:
    """Whatever table of whichever module an error class is in, or if it is in none."""
    package = bek_operator.whatsapp
    modules = [import_module(name) for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    found = set(chain.from_iterable(classes_in(value) for module in modules for value in vars(module).values()))
    tables = (any_api_classes(), cloud_classes(), on_premises_classes(), provider_errors.DOCUMENTED)
    assert found == {error_class for _, error_class in chain(*tables)}


@pytest.mark.parametrize("file", USER_TEXTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_texts_are_plain(file: Path) -> None:
    """No phrase with two meanings, and none that only its author understands."""
    assert UNCLEAR.findall(file.read_text(encoding="utf-8")) == []


def test_messages_have_no_gaps() -> None:
    """All placeholders of the API errors' templates are filled in."""
    assert re.search("[{}]", api_errors()) is None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
