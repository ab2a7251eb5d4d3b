"""TensorFlow Serving's gRPC services: PredictionService and ModelService."""

import asyncio
import time

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceServicer
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceServicer

from serving.server.endpoint import Call
from serving.server.errors import invalid

_UNKNOWN = 2  # gRPC's and TensorFlow's number of this error code


class PredictionService(PredictionServiceServicer):
    """Predict and GetModelMetadata. The other methods, for models of tf.Example, are UNIMPLEMENTED.

    Args:
        models: a `ModelManager`.
    """

    def __init__(self, models):
        self._models = models

    async def Predict(self, request, context):
        call = Call()
        left = context.time_remaining()
        if left is not None:
            call.deadline = time.monotonic() + left
        try:
            return await asyncio.wrap_future(self._models.predict(request, call))
        except asyncio.CancelledError:  # the client hung up
            call.cancelled = True
            raise

    async def GetModelMetadata(self, request, context):
        if list(request.metadata_field) != ["signature_def"]:
            raise invalid("metadata_field: signature_def is the one that is supported")
        servable = self._models.servable(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(ModelServiceServicer):
    """GetModelStatus, and HandleReloadConfigRequest for version policies and labels.

    Args:
        models: a `ModelManager`.
    """

    def __init__(self, models):
        self._models = models

    async def GetModelStatus(self, request, context):
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in self._models.statuses(request.model_spec):
            added = response.model_version_status.add(version=number, state=version.state)
            added.status.error_code = _UNKNOWN if version.error else 0
            added.status.error_message = version.error
        return response

    async def HandleReloadConfigRequest(self, request, context):
        models = request.config.model_config_list.config
        await asyncio.to_thread(self._models.reconfigure, models)
        return model_management_pb2.ReloadConfigResponse()
