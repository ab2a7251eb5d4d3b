"""What gRPC reflection tells about TensorFlow Serving's services.

Their descriptors are declared here since tensorflow-serving-api's own modules for them do not load with protobuf's
present runtime (they assign to `DESCRIPTOR.has_options`); its messages and stubs do.
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

_FILES = {
    "prediction_service": {
        "Classify": (classification_pb2, "ClassificationRequest", "ClassificationResponse"),
        "Regress": (regression_pb2, "RegressionRequest", "RegressionResponse"),
        "Predict": (predict_pb2, "PredictRequest", "PredictResponse"),
        "MultiInference": (inference_pb2, "MultiInferenceRequest", "MultiInferenceResponse"),
        "GetModelMetadata": (
            get_model_metadata_pb2,
            "GetModelMetadataRequest",
            "GetModelMetadataResponse",
        ),
    },
    "model_service": {
        "GetModelStatus": (get_model_status_pb2, "GetModelStatusRequest", "GetModelStatusResponse"),
        "HandleReloadConfigRequest": (
            model_management_pb2,
            "ReloadConfigRequest",
            "ReloadConfigResponse",
        ),
    },
}
SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def enable(server):
    """Adds the reflection service to a server."""
    for (name, methods), service in zip(_FILES.items(), SERVICES):
        package, _, service = service.rpartition(".")
        file = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{name}.proto",
            package=package,
            syntax="proto3",
            dependency=[module.DESCRIPTOR.name for module, _, _ in methods.values()],
        )
        declared = file.service.add(name=service)
        for method, (_, request, response) in methods.items():
            declared.method.add(
                name=method,
                input_type=f".{package}.{request}",
                output_type=f".{package}.{response}",
            )
        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection([*SERVICES, health, reflection.SERVICE_NAME], server)
