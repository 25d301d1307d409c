"""The API server refuses, at admission, what the operator could not make sense of, and says what it wants.

Each refusal is tried on a small object and on the largest one: a rule that is cheap enough on a few numbers
may cost more than the server allows on a thousand.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import yaml

from bek_operator.net.url import parse_full_url
from cluster.manifests import MOST_APIS, MOST_NUMBERS, TYPES, changed, cloud, large, on_premises, provider, small
from support.cluster.crd import CRD_FILE, RESOURCE_PATH, install_crd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.manifests import Manifest
    from support.cluster.apiserver import ApiServer

KINDS = {"last_number": "phoneNumbers", "last_api": "apis"}
URL = "apis.0.onPremises.url"
TLS = "apis.0.onPremises.tls"
PROVIDER = "apis.1.provider"
PROVIDER_FIELD = "spec.apis[1].provider"
PARTNER_KEY = f"{PROVIDER_FIELD}.apiKeySecretRef.key"
PAUSE = "spec.rollout.firstNumber.pauseSeconds"
FIRST, SECOND, LAST = "phoneNumbers.0", "phoneNumbers.1", "phoneNumbers.-1"
ON_SECOND = {"phoneNumber": "+15550002222", "api": "partner", "phoneNumberID": "106540352242922"}

HTTPS = "must be https://HOST, with :PORT and /PATH if needed"
BRACES = "must have no braces but those of {digits}"
DOTS = 'must not have ".." anywhere, or "." as a part of the path'
PORT = "must have a port between 1 and 65535, or none"
HOST = "must have a host that is a DNS name, not ending in a number, or an IPv4 address"
BASE = "must be the base address of the API, without the path of the endpoint, which is added to it"
LABELS = 'must have a host whose parts have at most 63 characters each and no "-" at either end'
E164 = 'must be "+" and 7 to 15 digits without spaces, the first not 0, such as "+15550001111"'
SECRET = 'must be the name of a Secret: lower-case letters, digits, "-" and "."'
ENTRY = 'must be the name of an entry of the Secret, made of letters, digits, "-", "_" and ".", not "." and not'
HEADER_NAME = 'must be the name of an HTTP header, such as D360-API-KEY; without blanks and ":"'
HEADER = "must be the provider's own header for its API keys, such as D360-API-KEY, or Authorization"
BEHIND_ONE = "`provider.url` or `provider.apiKeySecretRef.key` must contain {digits} or {phoneNumberID} in an entry"
NO_ID = "`phoneNumberID` must be set for a number whose api has {phoneNumberID} in its url or apiKeySecretRef"
SERVER_NAME = "must be a DNS name in lower case, such as whatsapp-web-service"


ENDPOINT = "flowsEndpoint"
ENDPOINT_FIELD = "spec.flowsEndpoint"
FULL_URL = "must be https://HOST, with :PORT, /PATH and then ?QUERY if needed"
ESCAPES = 'must have two hexadecimal digits behind each "%", not those of a control character or dot, and no "//"'
ENDPOINT_NAME = "must be a DNS name in lower case, such as flows.example.com"


class Refused(NamedTuple):
    """What is wrong, how to get there, and what the server says about which field."""

    what: str
    changes: dict[str, Any]
    field: str
    message: str


def url(what: str, value: str, message: str) -> Refused:
    """Return a refusal of an On-Premises URL."""
    return Refused(what, {URL: value}, "spec.apis[0].onPremises.url", message)


def partner(what: str, value: str, message: str) -> Refused:
    """Return a refusal of a provider's URL."""
    return Refused(what, {f"{PROVIDER}.url": value}, f"{PROVIDER_FIELD}.url", message)


def header(value: str, message: str = HEADER) -> Refused:
    """Return a refusal of the name of a header for API keys."""
    changes = {f"{PROVIDER}.apiKeyHeader": value}
    return Refused(f"the header {value!r}", changes, f"{PROVIDER_FIELD}.apiKeyHeader", message)


def flows(what: str, value: str, message: str) -> Refused:
    """Return a refusal of the URL of a Flow endpoint."""
    return Refused(what, {f"{ENDPOINT}.url": value}, f"{ENDPOINT_FIELD}.url", message)


def number(what: str, value: str) -> Refused:
    """Return a refusal of a phone number."""
    return Refused(what, {f"{FIRST}.phoneNumber": value}, "spec.phoneNumbers[0].phoneNumber", E164)


REFUSED = [
    Refused("no key", {"keySecretRef": None}, "spec.keySecretRef", "`keySecretRef` must name the Secret"),
    Refused("no apis", {"apis": None}, "spec.apis", "`apis` must have at least one entry"),
    Refused("no numbers", {"phoneNumbers": None}, "spec.phoneNumbers", "`phoneNumbers` must have at least one entry"),
    Refused("an empty list of numbers", {"phoneNumbers": []}, "spec.phoneNumbers", "must have at least one entry"),
    number("a number without plus", "15550001111"),
    number("a number with spaces", "+1 555 000 1111"),
    number("a number as people write it", "+1 (555) 000-1111"),
    number("a number whose country code begins with 0", "+05550001111"),
    number("a number that is too short", "+155500"),
    number("a number that is too long", "+1555000111122223"),
    number("a number in other digits", "+\u0661\u0665\u0665\u0665\u0660\u0660\u0660\u0661\u0661\u0661\u0661"),
    number("a number followed by a line break", "+15550001111\n"),
    Refused(
        "a number that YAML made an integer of",
        {f"{FIRST}.phoneNumber": 15550001111},
        "spec.phoneNumbers[0].phoneNumber",
        'must be of type string: "integer"',
    ),
    Refused(
        "a number listed twice",
        {f"{FIRST}.phoneNumber": "+15550002222"},
        "spec.phoneNumbers[{last_number}]",
        'Duplicate value: {"phoneNumber":"+15550002222"}',
    ),
    Refused(
        "a number on an api that is not there",
        {f"{LAST}.api": "metta"},
        "spec.phoneNumbers",
        "`api` must be the name of an entry of `apis`; the first number where it is not is +15550002222",
    ),
    Refused(
        "a number without api where none is the default",
        {"apis.0.name": "main"},
        "spec.phoneNumbers",
        "`api` must be set, unless `apis` has a single entry or one named default; "
        "the first number without it is +15550001111",
    ),
    Refused(
        "a number on Cloud without its id",
        {f"{LAST}.phoneNumberID": None},
        "spec.phoneNumbers",
        "`phoneNumberID` must be set for a number whose api is of type Cloud; "
        "the first number without it is +15550002222",
    ),
    Refused(
        "a number without api where the default is Cloud",
        {"apis.0": cloud("default")},
        "spec.phoneNumbers",
        "the first number without it is +15550001111",
    ),
    Refused(
        "an id given to two numbers",
        {f"{FIRST}.phoneNumberID": "106540352242922"},
        "spec.phoneNumbers",
        "key 106540352242922 already exists evaluating rule: `phoneNumberID` must differ from number to number",
    ),
    Refused(
        "an id that is no number",
        {f"{LAST}.phoneNumberID": "+15550002222"},
        "spec.phoneNumbers[{last_number}].phoneNumberID",
        "must be the Cloud API's id of the number, digits only",
    ),
    Refused(
        "two numbers behind one URL",
        {URL: "https://whatsapp", LAST: {"phoneNumber": "+15550002222", "api": "default"}},
        "spec.apis",
        "`onPremises.url` must contain {digits} in an entry that more than one number uses",
    ),
    Refused(
        "two numbers at a provider behind one URL with one key",
        {f"{PROVIDER}.url": "https://waba.example.com", f"{PROVIDER}.apiKeySecretRef.key": "key", LAST: ON_SECOND},
        "spec.apis",
        BEHIND_ONE,
    ),
    Refused(
        "a number at a provider without the id that is in the URL",
        {f"{SECOND}.phoneNumberID": None},
        "spec.phoneNumbers",
        f"{NO_ID}; the first number without it is +15550004444",
    ),
    Refused(
        "a number at a provider without the id that is in the name of the entry",
        {
            f"{PROVIDER}.url": "https://waba.example.com",
            f"{PROVIDER}.apiKeySecretRef.key": "key-{phoneNumberID}",
            f"{SECOND}.phoneNumberID": None,
        },
        "spec.phoneNumbers",
        f"{NO_ID}; the first number without it is +15550004444",
    ),
    Refused(
        "a number without api where the default is a provider that needs the id",
        {"apis.0": provider("default", "https://waba.example.com", "{phoneNumberID}")},
        "spec.phoneNumbers",
        f"{NO_ID}; the first number without it is +15550001111",
    ),
    Refused(
        "type OnPremises without its member",
        {"apis.0.onPremises": None},
        "spec.apis[0].onPremises",
        "`onPremises` must be set exactly when type is OnPremises; remove it otherwise",
    ),
    Refused(
        "type OnPremises with the member of Cloud",
        {"apis.0.cloud": cloud("x")["cloud"]},
        "spec.apis[0].cloud",
        "`cloud` must be set exactly when type is Cloud; remove it otherwise",
    ),
    Refused(
        "type Cloud without its member",
        {"apis.-1.cloud": None},
        "spec.apis[{last_api}].cloud",
        "`cloud` must be set exactly when type is Cloud; remove it otherwise",
    ),
    Refused(
        "type Cloud with the member of OnPremises",
        {"apis.-1.onPremises": on_premises("x", "https://whatsapp-{digits}")["onPremises"]},
        "spec.apis[{last_api}].onPremises",
        "`onPremises` must be set exactly when type is OnPremises; remove it otherwise",
    ),
    Refused(
        "type Provider without its member",
        {PROVIDER: None},
        PROVIDER_FIELD,
        "`provider` must be set exactly when type is Provider; remove it otherwise",
    ),
    Refused(
        "type Cloud with the member of Provider",
        {"apis.-1.provider": provider("x", "https://waba.example.com", "{digits}")["provider"]},
        "spec.apis[{last_api}].provider",
        "`provider` must be set exactly when type is Provider; remove it otherwise",
    ),
    Refused(
        "a type that does not exist",
        {"apis.0.type": "Carrier"},
        "spec.apis[0].type",
        'Unsupported value: "Carrier": supported values: "OnPremises", "Cloud", "Provider"',
    ),
    Refused(
        "a policy that does not exist",
        {"publishPolicy": "Always"},
        "spec.publishPolicy",
        'Unsupported value: "Always": supported values: "IfNeeded", "Never"',
    ),
    Refused(
        "an api listed twice",
        {"apis.-1.name": "default", f"{LAST}.api": "default", f"{FIRST}.phoneNumberID": "1"},
        "spec.apis[{last_api}]",
        'Duplicate value: {"name":"default"}',
    ),
    Refused(
        "an api whose name is no DNS label",
        {"apis.-1.name": "Meta_1", f"{LAST}.api": "Meta_1"},
        "spec.apis[{last_api}].name",
        'must be lower-case letters, digits and "-", with a letter or digit at both ends',
    ),
    url("a URL without TLS", "http://whatsapp-{digits}", HTTPS),
    url("a URL without scheme", "whatsapp-{digits}", HTTPS),
    url("a URL with user info", "https://admin:secret@whatsapp-{digits}", HTTPS),
    url("a URL with a query", "https://whatsapp-{digits}?x=1", HTTPS),
    url("a URL with a fragment", "https://whatsapp-{digits}#x", HTTPS),
    url("a URL in capitals", "https://WhatsApp-{digits}", HTTPS),
    url("a URL with an escape", "https://whatsapp-{digits}/%2e%2e", HTTPS),
    url("a URL with a space", "https://whatsapp-{digits}/a b", HTTPS),
    url("a URL with a backslash", "https://whatsapp-{digits}\\x", HTTPS),
    url("a URL with an IPv6 address", "https://[::1]/{digits}", HTTPS),
    url("a URL whose host ends in a dot", "https://whatsapp-{digits}.", HTTPS),
    url("a URL with an empty part of the path", "https://whatsapp-{digits}//v1", HTTPS),
    url("a URL with port 0", "https://whatsapp-{digits}:0", HTTPS),
    url("a URL with a port of too many digits", "https://whatsapp-{digits}:100443", HTTPS),
    url("a URL with a port that begins with 0", "https://whatsapp-{digits}:0443", HTTPS),
    url("a URL with the number as its port", "https://whatsapp:{digits}", HTTPS),
    url("a URL with a line break", "https://whatsapp-{digits}\n", HTTPS),
    url("a URL with a port beyond the last", "https://whatsapp-{digits}:65536", PORT),
    url("a URL with a port far beyond the last", "https://whatsapp-{digits}:70000/v1", PORT),
    url("a URL with an unknown placeholder", "https://whatsapp-{digits}-{number}", BRACES),
    url("a URL with nested braces", "https://whatsapp-{{digits}}", BRACES),
    url("a URL with braces that hide a placeholder", "https://whatsapp-{digits}{di{digits}gits}", BRACES),
    url("a URL with an empty label", "https://whatsapp-{digits}..svc", DOTS),
    url("a URL that leaves its path", "https://whatsapp-{digits}/../v1", DOTS),
    url("a URL with a dot for a part of the path", "https://whatsapp-{digits}/./v1", DOTS),
    url("a URL that ends in a dot", "https://whatsapp-{digits}/.", DOTS),
    url("the URL of the endpoint", "https://wa-{digits}/v1/settings/business/whatsapp_business_encryption", BASE),
    url("a URL whose host is the number, which is an address to resolvers", "https://{digits}", HOST),
    url("a URL whose host ends in the number", "https://whatsapp.{digits}", HOST),
    url("a URL with an address in one number", "https://2130706433/{digits}", HOST),
    url("a URL with a hexadecimal address", "https://0x7f000001/{digits}", HOST),
    url("a URL with a hexadecimal address made of the number", "https://0x{digits}", HOST),
    url("a URL with a short address", "https://127.1/{digits}", HOST),
    url("a URL with an octal address", "https://0177.0.0.1/{digits}", HOST),
    url("a URL with an address of five numbers", "https://127.0.0.1.1/{digits}", HOST),
    url("a URL with an address beyond the last", "https://127.0.0.256/{digits}", HOST),
    url("a URL with an address that goes on as a path", "https://127.0.0/1/{digits}", HOST),
    url("a URL with a label that begins with a hyphen", "https://whatsapp.-{digits}.svc", LABELS),
    url("a URL with a label that ends in a hyphen", "https://whatsapp-{digits}-.svc", LABELS),
    url("a URL with a label that is too long once the number is in it", f"https://{'w' * 50}{{digits}}", LABELS),
    partner("a provider's URL without TLS", "http://waba.example.com/{digits}", HTTPS),
    partner("a provider's URL with a query", "https://waba.example.com/{digits}?id={phoneNumberID}", HTTPS),
    partner("a provider's URL with the id as its port", "https://waba.example.com:{phoneNumberID}", HTTPS),
    partner("a provider's URL with a misspelled placeholder", "https://waba.example.com/{phoneNumberId}", BRACES),
    partner("a provider's URL with placeholders in each other", "https://waba/{phone{digits}NumberID}", BRACES),
    partner("a provider's URL with placeholders the other way round", "https://waba/{di{phoneNumberID}gits}", BRACES),
    partner("a provider's URL of the endpoint", "https://waba/{digits}/whatsapp_business_encryption/", BASE),
    partner("a provider's URL that leaves its path", "https://waba.example.com/{digits}/..", DOTS),
    partner("a provider's URL with a port beyond the last", "https://waba.example.com:65536/{digits}", PORT),
    partner("a provider's URL whose host is an id, which is an address to resolvers", "https://{phoneNumberID}", HOST),
    partner("a provider's URL whose host ends in both", "https://waba.{digits}{phoneNumberID}", HOST),
    partner("a provider's URL with a label too long for an id", f"https://{'w' * 44}{{phoneNumberID}}", LABELS),
    *(
        Refused(
            f"a provider without {name}", {f"{PROVIDER}.{name}": None}, f"{PROVIDER_FIELD}.{name}", "Required value"
        )
        for name in ("url", "apiKeyHeader", "apiKeySecretRef")
    ),
    header("D360 API KEY", HEADER_NAME),
    header("X" * 65, "Too long"),
    header("Host"),
    Refused("a URL that is missing", {URL: None}, "spec.apis[0].onPremises.url", "Required value"),
    Refused("a URL that is too long", {URL: "https://h/" + "p" * 256}, "spec.apis[0].onPremises.url", "Too long"),
    Refused(
        "a server name with a star",
        {f"{TLS}.serverName": "*.example.com"},
        "spec.apis[0].onPremises.tls.serverName",
        SERVER_NAME,
    ),
    Refused(
        "a provider's server name with a port",
        {f"{PROVIDER}.tls.serverName": "waba.example.com:443"},
        f"{PROVIDER_FIELD}.tls.serverName",
        SERVER_NAME,
    ),
    Refused(
        "a server name that is an address",
        {f"{TLS}.serverName": "192.0.2.7"},
        "spec.apis[0].onPremises.tls.serverName",
        'an address or "*" is not allowed',
    ),
    Refused(
        "a version without its letter",
        {"apis.-1.cloud.version": "25.0"},
        "spec.apis[{last_api}].cloud.version",
        "must be a version of the Graph API, such as v25.0",
    ),
    *(
        Refused(f"a Secret that can't exist at {place}", {f"{place}.name": value}, f"{field}.name", SECRET)
        for place, field, value in (
            ("keySecretRef", "spec.keySecretRef", "Flows"),
            ("apis.0.onPremises.credentialsSecretRef", "spec.apis[0].onPremises.credentialsSecretRef", "a_b"),
            ("apis.0.onPremises.tls.caSecretRef", "spec.apis[0].onPremises.tls.caSecretRef", "../ca"),
            (f"{PROVIDER}.apiKeySecretRef", f"{PROVIDER_FIELD}.apiKeySecretRef", "key-{digits}"),
            (f"{PROVIDER}.tls.caSecretRef", f"{PROVIDER_FIELD}.tls.caSecretRef", "CA"),
            ("apis.-1.cloud.tokenSecretRef", "spec.apis[{last_api}].cloud.tokenSecretRef", "-token"),
            ("apis.-1.cloud.appSecretRef", "spec.apis[{last_api}].cloud.appSecretRef", "other/app"),
            (f"{ENDPOINT}.appSecretRef", f"{ENDPOINT_FIELD}.appSecretRef", "App"),
            (f"{ENDPOINT}.tls.caSecretRef", f"{ENDPOINT_FIELD}.tls.caSecretRef", "a b"),
        )
    ),
    *(
        Refused(f"an entry that can't exist at {place}", {place: value}, field, ENTRY)
        for place, field, value in (
            ("keySecretRef.key", "spec.keySecretRef.key", "private/pem"),
            ("keySecretRef.key", "spec.keySecretRef.key", "."),
            ("keySecretRef.key", "spec.keySecretRef.key", "..data"),
            ("keySecretRef.passphraseKey", "spec.keySecretRef.passphraseKey", "pass phrase"),
            ("apis.0.onPremises.tls.caSecretRef.key", "spec.apis[0].onPremises.tls.caSecretRef.key", "ca:crt"),
            (f"{PROVIDER}.tls.caSecretRef.key", f"{PROVIDER_FIELD}.tls.caSecretRef.key", "{digits}"),
            (f"{PROVIDER}.apiKeySecretRef.key", PARTNER_KEY, "{digits}/{phoneNumber}"),
            ("apis.-1.cloud.tokenSecretRef.key", "spec.apis[{last_api}].cloud.tokenSecretRef.key", "tökén"),
            ("apis.-1.cloud.appSecretRef.key", "spec.apis[{last_api}].cloud.appSecretRef.key", "{secret}"),
            (f"{ENDPOINT}.appSecretRef.key", f"{ENDPOINT_FIELD}.appSecretRef.key", "a/b"),
            (f"{ENDPOINT}.tls.caSecretRef.key", f"{ENDPOINT_FIELD}.tls.caSecretRef.key", ".."),
        )
    ),
    Refused("checks every second", {"intervalSeconds": 1}, "spec.intervalSeconds", "greater than or equal to 10"),
    Refused("checks every 8 days", {"intervalSeconds": 691200}, "spec.intervalSeconds", "less than or equal to 604800"),
    Refused(
        "a rollout that does not exist",
        {"rollout": {"type": "Canary"}},
        "spec.rollout.type",
        'Unsupported value: "Canary": supported values: "FirstNumber", "AllAtOnce"',
    ),
    Refused(
        "a first number where all come at once",
        {"rollout.type": "AllAtOnce"},
        "spec.rollout.firstNumber",
        "`firstNumber` must be set only when type is FirstNumber or absent; remove it otherwise",
    ),
    Refused(
        "a first number that is not listed",
        {"rollout.firstNumber.phoneNumber": "+15550009999"},
        "spec.rollout.firstNumber.phoneNumber",
        "`rollout.firstNumber.phoneNumber` must be listed in `phoneNumbers`",
    ),
    flows("a Flow endpoint without TLS", "http://flows", FULL_URL),
    flows("a Flow endpoint with a placeholder", "https://flows/{digits}", FULL_URL),
    flows("a Flow endpoint with a user", "https://me@flows/", FULL_URL),
    flows("a Flow endpoint with a password", "https://me:secret@flows/", FULL_URL),
    flows("a Flow endpoint with a fragment", "https://flows/whatsapp?x=1#y", FULL_URL),
    flows("a Flow endpoint with a blank", "https://flows/whats app", FULL_URL),
    flows("a Flow endpoint with a line break", "https://flows/whatsapp\n", FULL_URL),
    flows("a Flow endpoint with a letter beyond ASCII", "https://flows/schlüssel", FULL_URL),
    flows("a Flow endpoint with a query and no path", "https://flows?x=1", FULL_URL),
    flows("a Flow endpoint with an empty query", "https://flows/?", FULL_URL),
    flows("a Flow endpoint with an empty part of the path", "https://flows//whatsapp", ESCAPES),
    flows("a Flow endpoint with two slashes at its end", "https://flows/whatsapp//", ESCAPES),
    flows("a Flow endpoint with half an escape", "https://flows/a%2", ESCAPES),
    flows("a Flow endpoint with half an escape in the query", "https://flows/?x=%", ESCAPES),
    flows("a Flow endpoint with a percent sign", "https://flows/?x=100%&y=1", ESCAPES),
    flows("a Flow endpoint with an escaped line break", "https://flows/a%0Ab", ESCAPES),
    flows("a Flow endpoint with an escaped zero", "https://flows/?x=%00", ESCAPES),
    flows("a Flow endpoint with an escaped control character", "https://flows/a%7fb", ESCAPES),
    flows("a Flow endpoint that climbs", "https://flows/../whatsapp", DOTS),
    flows("a Flow endpoint that climbs in disguise", "https://flows/%2e%2E/whatsapp", ESCAPES),
    flows("a Flow endpoint with a dot for a part", "https://flows/./whatsapp", DOTS),
    flows("a Flow endpoint with a dot before the query", "https://flows/.?x=1", DOTS),
    flows("a Flow endpoint with dots in the query", "https://flows/?x=../y", DOTS),
    flows("a Flow endpoint that is too long", f"https://flows/{'p' * 1011}", "may not be more than 1024 bytes"),
    flows("a Flow endpoint at port 65536", "https://flows:65536", PORT),
    flows("a Flow endpoint at a number", "https://2130706433/whatsapp", HOST),
    flows("a Flow endpoint with a hyphen at the end", "https://flows-.example.com", LABELS),
    Refused("a Flow endpoint without URL", {f"{ENDPOINT}.url": None}, f"{ENDPOINT_FIELD}.url", "Required value"),
    Refused(
        "a Flow endpoint's server name that is an address",
        {f"{ENDPOINT}.tls.serverName": "192.0.2.7"},
        f"{ENDPOINT_FIELD}.tls.serverName",
        ENDPOINT_NAME,
    ),
    Refused(
        "a policy that does not exist",
        {f"{ENDPOINT}.policy": "Ask"},
        f"{ENDPOINT_FIELD}.policy",
        'Unsupported value: "Ask": supported values: "Gate", "Report"',
    ),
    *(
        Refused(f"a pause of {value} s", {"rollout.firstNumber.pauseSeconds": value}, PAUSE, message)
        for value, message in ((-1, "greater than or equal to 0"), (604801, "less than or equal to 604800"))
    ),
]

SPELLINGS = [
    *(
        partner(f"{case.what}, at a provider", case.changes[URL].replace("{digits}", placeholder), case.message)
        for case in REFUSED
        for placeholder in ("{digits}", "{phoneNumberID}")
        if case.message in {HTTPS, BRACES, DOTS, PORT, BASE, HOST, LABELS} and URL in case.changes
    ),
    *map(
        header,
        (
            "HOST",
            "host",
            "Content-Length",
            "content-type",
            "Content_Type",
            "CONTENT-ENCODING",
            "Transfer-Encoding",
            "transfer_encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "TE",
            "te",
            "Trailer",
            "Upgrade",
            "Expect",
            "Cookie",
            "Accept",
            "Accept-Encoding",
            "User-Agent",
            "Range",
            "If-None-Match",
            "Via",
            "Forwarded",
            "X-Forwarded-Host",
            "X-HTTP-Method-Override",
            "x-method-override",
            "X-Original-URL",
        ),
    ),
    *(
        header(value, HEADER_NAME)
        for value in ("D360-API-KEY:", "D360-API-KEY\r\nHost", "Schl\u00fcssel", "(key)", "D360-API-KEY\n")
    ),
    *(
        Refused(f"the entry {value!r}", {f"{PROVIDER}.apiKeySecretRef.key": value}, PARTNER_KEY, ENTRY)
        for value in ("{Digits}", "{digits", "{{digits}}", "{phone{digits}NumberID}", "{di{phoneNumberID}gits}", "{}")
    ),
]

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("the object itself", {}),
    ("a number without digits in the URL when it is the only one there", {URL: "https://whatsapp"}),
    ("a URL with port and path", {URL: "https://whatsapp:65535/{digits}/v_1.0~x/"}),
    ("a URL with the lowest port", {URL: "https://whatsapp-{digits}:1"}),
    ("a URL whose host has several parts", {URL: "https://{digits}.whatsapp-web.example.com"}),
    ("a URL with digits at both ends of a part", {URL: "https://1a.2b-{digits}c"}),
    ("a URL with a dotted address", {URL: "https://192.0.2.7/{digits}"}),
    ("a URL with a well-known path", {URL: "https://whatsapp-{digits}/.well-known/v1"}),
    ("a URL with a part that is just not too long", {URL: f"https://{'w' * 48}{{digits}}"}),
    ("a server name of several parts", {f"{TLS}.serverName": "whatsapp-web-service.example.com"}),
    ("certificates that the system trusts", {TLS: None}),
    *(
        (f"a Flow endpoint at {url}", {f"{ENDPOINT}.url": url})
        for url in (
            "https://flows",
            "https://flows/",
            "https://flows:8443/whatsapp/",
            "https://flows/whatsapp?x=1",
            "https://flows/whatsapp/?x",
            "https://flows/a%20b%2Fc/%C3%BC%2a",
            "https://flows/a!$&()*+,;=:@-._~b",
            "https://flows/invoke?api-version=2016-10-01&sp=%2Ftriggers%2Frun&sig=Ab-c_d&next=https://a//b/./?:@!$()*+,;",
            f"https://flows/{'p' * 1010}",
        )
    ),
    ("a number on On-Premises that knows its id already", {f"{FIRST}.phoneNumberID": "106540352242911"}),
    ("the shortest number", {f"{FIRST}.phoneNumber": "+1234567"}),
    ("the longest number", {f"{FIRST}.phoneNumber": "+123456789012345"}),
    *(
        (f"a provider at {url} with the key in {key}", {f"{PROVIDER}.url": url, f"{PROVIDER}.apiKeySecretRef.key": key})
        for url, key in (
            ("https://waba-v2.360dialog.io", "{digits}"),
            ("https://waba.example.com", "waba_{phoneNumberID}.key"),
            ("https://waba.example.com:8443/v1/{digits}/{phoneNumberID}/", "key"),
            ("https://id-{phoneNumberID}.example.com", "{digits}-{phoneNumberID}"),
            ("https://waba", "{digits}{digits}"),
            (f"https://{'w' * 43}{{phoneNumberID}}", "key"),
            ("https://192.0.2.7/{phoneNumberID}", "key"),
            ("https://waba.example.com", "key"),
        )
    ),
    *(
        (f"numbers at a provider that differ by {placeholder} in {field}", changes | {LAST: ON_SECOND})
        for placeholder in ("{digits}", "{phoneNumberID}")
        for field, changes in (
            ("url", {f"{PROVIDER}.url": f"https://{placeholder}.waba", f"{PROVIDER}.apiKeySecretRef.key": "key"}),
            ("key", {f"{PROVIDER}.url": "https://waba", f"{PROVIDER}.apiKeySecretRef.key": placeholder}),
        )
    ),
    (
        "a number at a provider that needs no id",
        {f"{PROVIDER}.url": "https://waba.example.com", f"{SECOND}.phoneNumberID": None},
    ),
    *(
        (f"the header {name}", {f"{PROVIDER}.apiKeyHeader": name})
        for name in ("D360-API-KEY", "api_key", "Authorization", "x-host", "Content", "!#$%&'*+-.^_`|~", "X" * 64)
    ),
    ("a provider whose certificate the system trusts", {f"{PROVIDER}.tls": None}),
    ("no version, no app secret", {"apis.-1.cloud": {"tokenSecretRef": {"name": "t", "key": "k"}}}),
    ("a Secret without entries named", {"keySecretRef": {"name": "flows.v2-key"}}),
    ("an entry with every kind of character", {"keySecretRef.key": "Flows_Key-2.pem"}),
    ("the shortest interval", {"intervalSeconds": 10}),
    ("the longest interval", {"intervalSeconds": 604800}),
    ("reading only", {"publishPolicy": "Never"}),
    ("suspended", {"suspend": True}),
    ("no Flow endpoint", {ENDPOINT: None}),
    *(
        (f"a Flow endpoint at {address}", {ENDPOINT: {"url": address}})
        for address in (
            "https://flows",
            "https://flows/",
            "https://192.0.2.7:8443/a/b",
            "https://flows.example.com/a-b",
        )
    ),
    ("a Flow endpoint that gates", {f"{ENDPOINT}.policy": "Gate"}),
    ("no rollout", {"rollout": None}),
    ("a rollout of which nothing is said", {"rollout": {}}),
    ("a rollout to all at once", {"rollout": {"type": "AllAtOnce"}}),
    ("a rollout with a first number, whichever it is", {"rollout": {"type": "FirstNumber"}}),
    ("a first number of which nothing is said", {"rollout.firstNumber": {}}),
    ("a first number without type", {"rollout.type": None}),
    ("a first number without pause", {"rollout.firstNumber.pauseSeconds": 0}),
]


@pytest.fixture(scope="module")
def crd(api_server: ApiServer) -> ApiServer:
    """Provide the API server with the CRD installed."""
    install_crd(api_server)
    return api_server


@pytest.fixture(scope="module")
def create(crd: ApiServer) -> Iterator[Callable[[Manifest], httpx.Response]]:
    """Provide a strict dry run of the creation of an object."""
    with httpx.Client(
        base_url=crd.url,
        verify=ssl.create_default_context(cafile=str(crd.ca_file)),
        headers={"Authorization": f"Bearer {crd.admin_token}"},
        trust_env=False,
        timeout=30,
    ) as client:
        yield lambda body: client.post(
            RESOURCE_PATH.format(namespace="default"),
            params={"dryRun": "All", "fieldValidation": "Strict"},
            json=body,
        )


def causes_of(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the fields that were refused, each with what the server says about it."""
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    causes = [(cause["field"], cause["message"]) for cause in answer.json()["details"]["causes"]]
    # Where a bound or a type is broken, the server only adds that it tried no rules.
    return [(field, message) for field, message in causes if field != "<nil>"]


@pytest.mark.parametrize("base", [small, large])
@pytest.mark.parametrize("case", REFUSED, ids=[case.what for case in REFUSED])
def test_refused_with_one_message_that_says_what_is_allowed(
    case: Refused, base: Callable[[], Manifest], create: Callable[[Manifest], httpx.Response]
) -> None:
    """A wrong object is refused for the one thing that is wrong, however many numbers it has."""
    body = changed(base(), case.changes)
    indexes = {name: len(base()["spec"][key]) - 1 for name, key in KINDS.items()}
    [(field, message)] = causes_of(create(body))
    assert field == case.field.format(**indexes)
    assert case.message in message


@pytest.mark.parametrize("case", SPELLINGS, ids=[case.what for case in SPELLINGS])
def test_refused_however_it_is_spelled(case: Refused, create: Callable[[Manifest], httpx.Response]) -> None:
    """What is refused once is refused in other letters, and at a provider as on On-Premises."""
    causes = causes_of(create(changed(small(), case.changes)))
    assert [field for field, _ in causes] == [case.field]
    assert case.message in causes[0][1]


@pytest.mark.parametrize("changes", [changes for _, changes in ACCEPTED], ids=[what for what, _ in ACCEPTED])
def test_accepted(changes: dict[str, Any], create: Callable[[Manifest], httpx.Response]) -> None:
    """A right object is accepted, also where it is close to a wrong one."""
    answer = create(changed(small(), changes))
    assert answer.status_code == httpx.codes.CREATED, answer.text


@pytest.mark.parametrize("bulk", TYPES)
def test_largest_object_is_accepted(bulk: str, create: Callable[[Manifest], httpx.Response]) -> None:
    """An object at all bounds at once is accepted: no rule costs more than the server allows."""
    answer = create(large(bulk))
    assert answer.status_code == httpx.codes.CREATED, answer.text


@pytest.mark.parametrize(
    ("path", "entry", "most"),
    [("phoneNumbers", {"phoneNumber": "+15550003333"}, MOST_NUMBERS), ("apis", cloud("one-more"), MOST_APIS)],
)
def test_one_entry_beyond_the_bound_is_refused(
    path: str, entry: dict[str, Any], most: int, create: Callable[[Manifest], httpx.Response]
) -> None:
    """A list that is one entry longer than allowed is refused, and the message has the bound."""
    body = large()
    body["spec"][path].append(entry)
    [(field, message)] = causes_of(create(body))
    assert field == f"spec.{path}"
    assert f"must have at most {most} items" in message


def test_object_without_a_spec_is_refused(create: Callable[[Manifest], httpx.Response]) -> None:
    """An object that asks for nothing is a mistake."""
    body = small()
    del body["spec"]
    assert causes_of(create(body)) == [("spec", "Required value")]


def test_field_that_does_not_exist_is_refused(create: Callable[[Manifest], httpx.Response]) -> None:
    """A misspelled field is an error to clients that ask for strictness, as kubectl does."""
    answer = create(changed(small(), {"supsend": True}))
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert 'unknown field "spec.supsend"' in answer.json()["message"]


def test_the_operator_takes_the_url_of_a_flow_endpoint_as_the_server_does() -> None:
    """Neither lets through what the other refuses."""
    field = f"{ENDPOINT}.url"
    for case in (case for case in REFUSED if case.changes.get(field)):
        with pytest.raises(ValueError, match=r"^must "):
            parse_full_url(case.changes[field])
    for _, changes in ACCEPTED:
        if field in changes:
            assert changes[field].removesuffix("/").endswith(parse_full_url(changes[field]).target.removesuffix("/"))


def test_every_rule_is_tried_here() -> None:
    """The table of refusals leaves no rule of the CRD out."""
    [version] = yaml.safe_load(CRD_FILE.read_text())["spec"]["versions"]
    observed = [(re.sub(r"\[[^]]*\]", "[]", case.field), case.message) for case in REFUSED]

    def not_observed(schema: dict[str, Any], path: str) -> Iterator[str]:
        for rule in schema.get("x-kubernetes-validations", ()):
            field, says = path + rule.get("fieldPath", ""), rule["message"]
            if not any(field == at and (says in message or message in says) for at, message in observed):
                yield f"{field}: {says}"
        for name, child in schema.get("properties", {}).items():
            yield from not_observed(child, f"{path}.{name}".removeprefix("."))
        yield from not_observed(schema["items"], f"{path}[]") if "items" in schema else ()

    assert list(not_observed(version["schema"]["openAPIV3Schema"], "")) == []
