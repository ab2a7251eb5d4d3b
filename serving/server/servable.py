"""One loaded version of a model: its SavedModel in a session of its own.

A session, as TensorFlow Serving has it, gives back its memory and threads when it is closed, and its runs have a timeout.
"""

import concurrent.futures
from pathlib import Path

import grpc
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers TF-Text's ops
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.server.batching import MODEL_FILE, Batching
from serving.server.endpoint import Call, Endpoint
from serving.server.errors import Refused, invalid
from serving.server.tensors import checked_rows, to_array

WARM_UP = "assets.extra/tf_serving_warmup_requests"


class Servable:
    """Loads and warms up a version.

    Args:
        name, version: of the model. folder: the version's.
        batching: a `Batching`, where the folder has no file of its own.
        most_bytes: that an input of numbers may take. metrics: a `serving.server.metrics.Metrics`.
    Raises:
        OSError, ValueError, tf.errors.OpError, Refused: the folder holds no model that runs, or a warm-up request fails.
    """

    def __init__(self, name, version, folder, batching, most_bytes, metrics):
        self.name, self.version, self._most_bytes = name, version, most_bytes
        parameters = Path(folder, MODEL_FILE)
        self._batching = (
            Batching(parameters.read_text("utf-8"), parameters) if parameters.exists() else batching
        )
        self.signatures = _read_signatures(folder)
        with tf.Graph().as_default() as graph:
            loaded = tf.saved_model.load(str(folder))
            self._endpoints = {
                key: Endpoint(key, function, self._batching, metrics)
                for key, function in loaded.signatures.items()
            }
            initializers = [
                tf.compat.v1.global_variables_initializer(),
                tf.compat.v1.tables_initializer(),
            ]
        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = (
            True  # an endpoint's calls are, one by one
        )
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        threads = (
            len(self._endpoints) * self._batching.most_in_flight
        )  # a request that waits holds one
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, f"{name}/{version}")
        try:
            self._session.run(initializers)
            for request in _warm_up_requests(Path(folder, WARM_UP)):
                self.submit(request, Call()).result()
        except BaseException:
            self.close()
            raise

    def submit(self, request, call):
        """Starts on a PredictRequest: a concurrent Future of its PredictResponse, or of `Refused`.

        Raises:
            Refused: what can be said at once.
        """
        key = request.model_spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        if key not in self._endpoints:
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
            )
        wanted = _wanted_outputs(request.output_filter, self.signatures[key])
        rows = checked_rows(request.inputs, self.signatures[key], self._batching.largest_request)
        self._endpoints[key].admit(call, rows)
        future = self._threads.submit(self._predict, key, request.inputs, wanted, call)
        future.add_done_callback(lambda _: self._endpoints[key].leave(call))
        return future

    def waiting(self):
        """Images that are in no batch yet."""
        return sum(endpoint.waiting for endpoint in self._endpoints.values())

    def close(self):
        """Waits for what has been submitted, then gives back threads and memory."""
        self._threads.shutdown()
        self._session.close()

    def _predict(self, key, inputs, wanted, call):
        arrays = {name: to_array(name, proto, self._most_bytes) for name, proto in inputs.items()}
        outputs = self._endpoints[key].run(self._session, arrays, call)
        response = PredictResponse(
            outputs={name: tf.make_tensor_proto(outputs[name]) for name in wanted}
        )
        response.model_spec.name, response.model_spec.signature_name = self.name, key
        response.model_spec.version.value = self.version
        return response


def _wanted_outputs(output_filter, signature):
    if unknown := sorted(set(output_filter) - set(signature.outputs)):
        known = ",".join(sorted(signature.outputs))
        raise invalid(
            f"output tensor alias not found in signature: {unknown[0]} Outputs expected to be in the set {{{known}}}."
        )
    if len(set(output_filter)) < len(output_filter):
        raise invalid("duplicate output tensor alias in the output filter")
    return output_filter or signature.outputs


def _read_signatures(folder):
    """{key: SignatureDef} as saved, for GetModelMetadata and for checking requests."""
    saved = SavedModel.FromString(Path(folder, tf.saved_model.SAVED_MODEL_FILENAME_PB).read_bytes())
    graphs = [
        graph for graph in saved.meta_graphs if tf.saved_model.SERVING in graph.meta_info_def.tags
    ]
    if not graphs:
        raise ValueError(f"{folder}: has no graph with the tag {tf.saved_model.SERVING}")
    return dict(graphs[0].signature_def)


def _warm_up_requests(path):
    if path.exists():
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield PredictionLog.FromString(record).predict_log.request
