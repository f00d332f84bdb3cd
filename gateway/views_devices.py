"""Devices over REST: enrolment, status, grants. The gateway only carries what owners authorised offline."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import BaseModel

from chaincode.api import Device, EnrolDevice, GetDevice, Grant, GrantDelegation, SetDeviceStatus
from gateway.answers import DeviceView, GrantView
from gateway.runtime import Runtime
from gateway.schemas import DevicePath, EnrolBody, GrantBody, StatusBody
from gateway.web import answer, endpoint, group
from ledger.port import call, evaluate_typed
from protocol.encodings import from_json, to_json

__all__ = ["devices"]


def devices(runtime: Runtime) -> APIBlueprint:
    """The addresses below ``/v1/devices``."""
    api = group("devices", "/v1/devices")
    ledger = runtime.services.ledger

    @api.post("", summary="Enrol a device", responses={201: DeviceView})
    @endpoint
    def enrol(body: EnrolBody) -> Response:
        device: Device = call(ledger, from_json(EnrolDevice, _fields(body)))
        runtime.directory.forget(device.device)
        location = {"Location": f"/v1/devices/{device.device}"}
        return answer(DeviceView.model_validate(to_json(device)), 201, location)

    @api.get("/<device>", summary="A device", responses={200: DeviceView})
    @endpoint
    def get(path: DevicePath) -> Response:
        device: Device = evaluate_typed(ledger, GetDevice(path.device))
        return answer(DeviceView.model_validate(to_json(device)))

    @api.post("/<device>/status", summary="Suspend, resume or retire a device", responses={200: DeviceView})
    @endpoint
    def set_status(path: DevicePath, body: StatusBody) -> Response:
        message = from_json(SetDeviceStatus, {"device": path.device, **_fields(body)})
        device: Device = call(ledger, message)
        runtime.directory.forget(device.device)
        return answer(DeviceView.model_validate(to_json(device)))

    @api.post(
        "/<device>/grants", summary="Grant, or take back, a gateway's right", responses={200: GrantView}
    )
    @endpoint
    def grant(path: DevicePath, body: GrantBody) -> Response:
        message = from_json(GrantDelegation, {"device": path.device, **_fields(body)})
        granted: Grant = call(ledger, message)
        runtime.directory.forget(granted.device)
        return answer(GrantView.model_validate(to_json(granted)))

    return api


def _fields(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json")
