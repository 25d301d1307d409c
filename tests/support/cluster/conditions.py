"""The rules that conditions must follow so that every tool reads them alike; they are Flux's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ABNORMAL = ("Reconciling", "Stalled")


def faults_of(status: Mapping[str, Any], generation: int) -> list[str]:
    """Return the rules that the conditions of an object of this generation break."""
    conditions = {one["type"]: one for one in status["conditions"]}
    if "Ready" not in conditions:
        return ["Ready is missing"]
    faults = [f"{kind} {fault}" for kind, one in conditions.items() for fault in _faults_of_one(one, status)]
    faults += _faults_of_all(conditions)
    if len(conditions) != len(status["conditions"]):
        faults.append("a condition type occurs twice")
    if status["observedGeneration"] > generation:
        faults.append("observedGeneration is above the object's generation")
    return faults


def _faults_of_one(condition: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[str]:
    if condition["type"] in ABNORMAL and condition["status"] != "True":
        yield "is present without being True"
    if condition["observedGeneration"] != status["observedGeneration"]:
        yield "has another observedGeneration than the status"
    if not condition["reason"] or not condition["message"] or "\n" in condition["message"]:
        yield "lacks a reason, or its message is not a line"


def _faults_of_all(conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    ready = conditions["Ready"]
    abnormal = [one for kind, one in conditions.items() if kind in ABNORMAL]
    if ready["status"] == "True" and abnormal:
        yield "Ready is True beside an abnormal condition"
    if len(abnormal) > 1:
        yield "Reconciling and Stalled are both present"
    if any((one["reason"], one["message"]) != (ready["reason"], ready["message"]) for one in abnormal):
        yield "Ready does not repeat what the abnormal condition says"


def kstatus(status: Mapping[str, Any], generation: int) -> str:
    """Return the kstatus of an object: Current, InProgress or Failed."""
    conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    if conditions.get("Reconciling") == "True" or conditions.get("Ready") in {"False", "Unknown"}:
        return "InProgress"
    return "Current"
