"""One loaded version of a model: its SavedModel in a session of its own.

TensorFlow Serving runs sessions, too. A session gives back its memory and threads when it is
closed, and its runs can have a timeout.
"""

import concurrent.futures
from pathlib import Path

import grpc
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers TF-Text's ops
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.server.batching import MODEL_FILE, BatchingParameters
from serving.server.endpoint import Call, Endpoint
from serving.server.errors import Refused, invalid
from serving.server.integrity import check_files
from serving.server.tensors import checked_rows, to_array

WARM_UP = "assets.extra/tf_serving_warmup_requests"


class Servable:
    """Loads and warms up a version.

    Args:
        name: of the model.
        version: its number.
        folder: the version's.
        batching: a `BatchingParameters`, used if the folder has no file of its own.
        max_bytes: that an input of numbers may take.
        metrics: a `serving.server.metrics.Metrics`.

    Attributes:
        signatures: {key: SignatureDef} as saved.

    Raises:
        OSError, ValueError, tf.errors.OpError, Refused: the folder holds no model that runs, or a
            warm-up request fails.
    """

    def __init__(self, name, version, folder, batching, max_bytes, metrics):
        check_files(folder)
        self.name = name
        self.version = version
        self._max_bytes = max_bytes
        parameters = Path(folder, MODEL_FILE)
        if parameters.exists():
            batching = BatchingParameters(parameters.read_text("utf-8"), parameters)
        self._batching = batching
        self.signatures = _read_signatures(folder)
        with tf.Graph().as_default() as graph:
            loaded = tf.saved_model.load(str(folder))
            self._endpoints = {
                key: Endpoint(key, function, batching, metrics)
                for key, function in loaded.signatures.items()
            }
            initializers = [
                tf.compat.v1.global_variables_initializer(),
                tf.compat.v1.tables_initializer(),
            ]
        config = tf.compat.v1.ConfigProto()
        # The calls of an endpoint are optimized, one by one.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        # A request holds a thread while it waits.
        threads = len(self._endpoints) * batching.max_in_flight
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, f"{name}/{version}")
        try:
            self._session.run(initializers)
            for request in _warm_up_requests(Path(folder, WARM_UP)):
                self.submit(request, Call()).result()
        except BaseException:
            self.close()
            raise

    def submit(self, request, call):
        """Starts to answer a PredictRequest.

        Args:
            request: the PredictRequest.
            call: its `Call`.

        Returns:
            A concurrent.futures.Future of the PredictResponse; it may raise `Refused`.

        Raises:
            Refused: for what can be said at once.
        """
        key = request.model_spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        if key not in self._endpoints:
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
            )
        signature = self.signatures[key]
        endpoint = self._endpoints[key]
        wanted = _wanted_outputs(request.output_filter, signature)
        rows = checked_rows(request.inputs, signature, self._batching.largest_request)
        endpoint.admit(call, rows)
        future = self._threads.submit(self._predict, key, request.inputs, wanted, call)
        future.add_done_callback(lambda _: endpoint.leave(call))
        return future

    def waiting(self):
        """Returns how many images are in no batch yet."""
        return sum(endpoint.waiting for endpoint in self._endpoints.values())

    def close(self):
        """Waits for all submitted requests, then gives back threads and memory."""
        self._threads.shutdown()
        self._session.close()

    def _predict(self, key, inputs, wanted, call):
        arrays = {name: to_array(name, proto, self._max_bytes) for name, proto in inputs.items()}
        outputs = self._endpoints[key].run(self._session, arrays, call)
        response = PredictResponse()
        for name in wanted:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        response.model_spec.name = self.name
        response.model_spec.signature_name = key
        response.model_spec.version.value = self.version
        return response


def _wanted_outputs(output_filter, signature):
    """The names of the outputs that a request asks for: by default all."""
    unknown = sorted(set(output_filter) - set(signature.outputs))
    if unknown:
        known = ",".join(sorted(signature.outputs))
        raise invalid(
            f"output tensor alias not found in signature: {unknown[0]} "
            f"Outputs expected to be in the set {{{known}}}."
        )
    if len(set(output_filter)) < len(output_filter):
        raise invalid("duplicate output tensor alias in the output filter")
    return output_filter or signature.outputs


def _read_signatures(folder):
    """{key: SignatureDef} as saved, for GetModelMetadata and for checking requests."""
    content = Path(folder, tf.saved_model.SAVED_MODEL_FILENAME_PB).read_bytes()
    for graph in SavedModel.FromString(content).meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ValueError(f"{folder}: has no graph with the tag {tf.saved_model.SERVING}")


def _warm_up_requests(path):
    """Yields the PredictRequests of a version's file, if it has one."""
    if path.exists():
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield PredictionLog.FromString(record).predict_log.request
