"""The edge `whatsapp_business_encryption` of a number, once caller and number are known.

Strict: what Meta refuses is refused, and what it tolerates without documentation is recorded as an oddity.
"""

from collections.abc import Collection, Iterator

from support.keys import fingerprint
from support.simulators import public_pem
from support.simulators.call import Call
from support.simulators.cloud_number import KEY, CloudNumber
from support.simulators.graph_errors import GraphRefusal, graph_error
from support.simulators.graph_parameters import Encoding, Parameter, parameters

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
        fields = ",".join(parameter.value for parameter in given if parameter.name == FIELDS)
        return number.show_key([field.strip() for field in fields.split(",") if field.strip()])
    return number.publish(_key(given).value)


def offer(call: Call, accepts: Collection[Encoding]) -> tuple[str | None, str]:
    """Return the fingerprint of a publish's key (`None` if unusable), and the encoding it came in."""
    encoding = ""
    try:
        encoding = next((parameter.encoding for parameter in parameters(call) if parameter.name == KEY), "")
        return fingerprint(_key(parameters(call, accepts)).value), encoding
    except GraphRefusal:
        return None, encoding


def oddities(call: Call) -> Iterator[str]:
    """Return what Meta tolerates and nobody documents."""
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
