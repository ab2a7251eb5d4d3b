"""What gRPC reflection tells about TensorFlow Serving's services.

The services are declared here, because tensorflow-serving-api's own modules for them do not load
with the installed protobuf runtime (they assign to `DESCRIPTOR.has_options`). Its messages and
stubs do load.
"""

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"
# {method: (module of its messages, request, response)}
_PREDICTION_SERVICE = {
    "Classify": (classification_pb2, "ClassificationRequest", "ClassificationResponse"),
    "Regress": (regression_pb2, "RegressionRequest", "RegressionResponse"),
    "Predict": (predict_pb2, "PredictRequest", "PredictResponse"),
    "MultiInference": (inference_pb2, "MultiInferenceRequest", "MultiInferenceResponse"),
    "GetModelMetadata": (
        get_model_metadata_pb2,
        "GetModelMetadataRequest",
        "GetModelMetadataResponse",
    ),
}
_MODEL_SERVICE = {
    "GetModelStatus": (get_model_status_pb2, "GetModelStatusRequest", "GetModelStatusResponse"),
    "HandleReloadConfigRequest": (
        model_management_pb2,
        "ReloadConfigRequest",
        "ReloadConfigResponse",
    ),
}
SERVICES = (f"{_PACKAGE}.PredictionService", f"{_PACKAGE}.ModelService")


def enable(server):
    """Adds the reflection service to a server."""
    _declare("prediction_service", "PredictionService", _PREDICTION_SERVICE)
    _declare("model_service", "ModelService", _MODEL_SERVICE)
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection([*SERVICES, health, reflection.SERVICE_NAME], server)


def _declare(file_name, service, methods):
    """Adds a service to the default pool of descriptors, from which reflection answers."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"tensorflow_serving/apis/{file_name}.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[module.DESCRIPTOR.name for module, _, _ in methods.values()],
    )
    declared = file.service.add(name=service)
    for method, (_, request, response) in methods.items():
        declared.method.add(
            name=method,
            input_type=f".{_PACKAGE}.{request}",
            output_type=f".{_PACKAGE}.{response}",
        )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
