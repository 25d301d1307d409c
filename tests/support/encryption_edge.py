"""What `whatsapp_business_encryption` of a number answers, once it is clear who asks and for which number.

Strict: what Meta refuses is refused, and what it overlooks without having documented it is told as an oddity.
"""

from collections.abc import Collection, Iterator

from support import public_pem
from support.call import Call
from support.cloud_number import KEY, CloudNumber
from support.graph_errors import GraphRefusal, graph_error
from support.graph_parameters import Encoding, Parameter, parameters
from support.keys import fingerprint

NAME = "whatsapp_business_encryption"
TOKEN, PROOF, FIELDS = "access_token", "appsecret_proof", "fields"

_KNOWN = {"GET": {TOKEN, PROOF, FIELDS}, "POST": {TOKEN, PROOF, KEY}}


def serve(number: CloudNumber, call: Call, accepts: Collection[Encoding]) -> dict[str, object]:
    """Carry out a request.

    Raises:
        GraphRefusal: it is refused.
    """
    given = parameters(call, accepts)
    if (refusal := number.refusal()) is not None:
        raise GraphRefusal(refusal)
    if call.method == "GET":
        check_requested = ",".join(parameter.value for parameter in given if parameter.name == FIELDS)
        return number.show_key([field.strip() for field in check_requested.split(",") if field.strip()])
    return number.publish(_key(given).value)


def offer(call: Call, accepts: Collection[Encoding]) -> tuple[str | None, str]:
    """Return the fingerprint of the key that a publish brings, if it brings a good one, and how it brings it."""
    encoding = ""
    try:
        encoding = next((parameter.encoding for parameter in parameters(call) if parameter.name == KEY), "")
        return fingerprint(_key(parameters(call, accepts)).value), encoding
    except GraphRefusal:
        return None, encoding


def oddities(call: Call) -> Iterator[str]:
    """Tell what nobody documents and Meta overlooks."""
    if call.method == "GET" and call.body:
        yield "a GET with a body"
    try:
        given = parameters(call)
    except GraphRefusal:
        return
    for parameter in given:
        if parameter.name not in _KNOWN.get(call.method, ()):
            yield f"parameter {parameter.name} on {call.method}"


def _key(given: Collection[Parameter]) -> Parameter:
    found = [parameter for parameter in given if parameter.name == KEY]
    if not found:
        raise GraphRefusal(graph_error(100, f"The parameter {KEY} is required."))
    if len(found) > 1:
        raise GraphRefusal(graph_error(100, f"Param {KEY} must be given once"))
    if (complaint := public_pem.complaint(found[0].value)) is not None:
        raise GraphRefusal(graph_error(100, f"Param {KEY} {complaint}"))
    return found[0]
