"""The server as a process: TLS and token, kill and SIGTERM, imports, and mistakes of the user."""

import base64
import concurrent.futures
import datetime
import ipaddress
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

import serving
from keras_sat.utils.hashing import write_sums
from serving.client.client import CaptionClient
from serving.client.messages import PredictionServiceStub, model_spec, predict_request, rows
from serving.server.__main__ import main
from tests.support.ports import free_port
from tests.support.saved_model import picture
from tests.support.server_process import running


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """(certificate of localhost, its key, a file with a token)."""
    folder = tmp_path_factory.mktemp("secrets")
    key = ec.generate_private_key(ec.SECP256R1())
    key_file = folder / "key.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file = folder / "certificate.pem"
    certificate = certificate_of_localhost(key)
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    token_file = folder / "token"
    token_file.write_text("open sesame\n")
    return certificate_file, key_file, token_file


def certificate_of_localhost(key):
    """A certificate that is signed with its own key, and valid for a day."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + datetime.timedelta(days=1),
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def code_of(client):
    """The status with which a server refuses a client."""
    with client, pytest.raises(grpc.RpcError) as error:
        client.caption([picture(1)])
    return error.value.code()


def test_tls_and_token(models, secrets):
    certificate, key, token = secrets
    options = ["--certificate", certificate, "--key", key, "--token-file", token]
    options += ["--rest-port", 0]
    roots = certificate.read_bytes()
    with running("--model-base-path", models / "captioner", *options) as server:
        trust = {"root_certificates": roots, "deadline": 20}
        with CaptionClient(server.address, token="open sesame", **trust) as client:
            assert [answer.status for answer in client.caption([picture(1)])] == ["OK"]
        for wrong in (None, "open sesam"):
            client = CaptionClient(server.address, token=wrong, **trust)
            assert code_of(client) == grpc.StatusCode.UNAUTHENTICATED
        plain = CaptionClient(server.address, token="open sesame", deadline=1)
        refusals = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert code_of(plain) in refusals
        credentials = grpc.ssl_channel_credentials(roots)
        with grpc.secure_channel(server.address, credentials) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        # Orchestrators ask without a token.
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert server.rest_url.startswith("https://")
        assert rest_status(server.rest_url, roots, "open sesame") == 200
        assert rest_status(server.rest_url, roots, "open sesam") == 401
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            rest_status(server.rest_url, None, "open sesame")


def rest_status(url, roots, token):
    """HTTP's status of a question over TLS that trusts only the roots, or the system's."""
    context = ssl.create_default_context(cadata=roots and roots.decode())
    body = json.dumps({"instances": [{"b64": base64.b64encode(picture(1)).decode()}]}).encode()
    request = urllib.request.Request(
        f"{url}/v1/models/captioner:predict", body, {"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_kill_and_restart_give_no_wrong_answer_and_sigterm_drains(models, direct):
    images = [picture(seed) for seed in range(5)]
    captions = direct("serving_default", image_bytes=images)["caption"]
    expected = [caption.decode() for caption in captions]
    arguments = ["--model-config-file", models.with_suffix(".config")]
    port = free_port()
    stopped = threading.Event()
    answered = [0] * 4  # by each client

    def ask(number):
        with CaptionClient(f"127.0.0.1:{port}", deadline=120) as client:
            while not stopped.is_set():
                assert [answer.caption for answer in client.caption(images)] == expected
                answered[number] += 1

    def wait_for_answers(asking):
        before = list(answered)
        while any(now == then for now, then in zip(answered, before)):
            assert not any(each.done() for each in asking)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        try:
            with running(*arguments, port=port) as server:
                asking = [threads.submit(ask, number) for number in range(4)]
                wait_for_answers(asking)
                server.process.kill()
                server.process.wait()
            with running(*arguments, port=port) as server:
                wait_for_answers(asking)
                stopped.set()
                for each in asking:
                    each.result()
                check_drain(server)
        finally:
            stopped.set()


def check_drain(server):
    """Every request that has arrived is answered, also from the queue, and the exit code is 0."""
    request = predict_request(model_spec("slow"), "serving_default", {"image_bytes": [picture(1)]})
    with grpc.insecure_channel(server.address) as channel:
        calls = [PredictionServiceStub(channel).Predict.future(request) for _ in range(4)]
        server.wait_for("serving_requests_in_flight", len(calls))
        assert not any(call.done() for call in calls)
        assert server.stop() == 0
        assert [len(rows(call.result())) for call in calls] == [1] * len(calls)


PROBE = """
import runpy, sys
module, *sys.argv = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__")
finally:
    print({"tensorflow", "grpc", "keras_sat"} & set(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("module", ["serving.server", "serving.client", "serving.load_test"])
def test_help_and_argument_errors_import_no_tensorflow(module):
    for arguments, code in ([["--help"], 0], [[], 2]):
        command = [sys.executable, "-c", PROBE, module, "main", *arguments]
        result = subprocess.run(command, capture_output=True, text=True)
        usage = result.stdout if code == 0 else result.stderr
        assert result.returncode == code, result.stderr
        assert usage.startswith("usage: ")
        # The client reads pictures with keras_sat, which is light. The server needs nothing of it.
        imported = "set()" if module == "serving.server" else "{'keras_sat'}"
        assert result.stderr.splitlines()[-1] == imported


def test_the_server_stands_alone():
    """The SavedModel holds everything; client and page read and draw pictures with keras_sat."""
    folder = Path(serving.__file__).parent
    importers = set()
    for path in folder.rglob("*.py"):
        if re.search(r"^ *(from|import) keras_sat", path.read_text(), re.M):
            importers.add(path.relative_to(folder).parts[0])
    assert importers == {"client", "load_test.py", "web"}


def test_mistakes_are_one_line(models, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    (broken / "3").mkdir(parents=True)
    (broken / "3" / "saved_model.pb").write_bytes(b"no graph")
    file = tmp_path / "file"
    file.write_text("")
    batching = tmp_path / "batching"
    batching.write_text("max_batch_sise { value: 3 }")
    config = tmp_path / "config"
    config.write_text("model_config_lost {}")
    nowhere = tmp_path / "nowhere"
    damaged = tmp_path / "damaged"
    shutil.copytree(models / "captioner", damaged)
    write_sums(damaged / "1")
    (damaged / "1" / "batching_params.pbtxt").write_text("# changed")
    captioner = ["--model-base-path", models / "captioner", "--metrics-port", 0]
    no_pair = ["--certificate", file, "--key", file]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        mistakes = [
            ([], ["--model-base-path"]),
            ([*captioner, "--host", "0.0.0.0"], ["--certificate", "--insecure"]),
            ([*captioner, "--key", "key.pem"], ["--certificate"]),
            (["--model-base-path", nowhere], ["nowhere", "keras-sat export"]),
            (["--model-base-path", empty], ["empty", "number"]),
            (["--model-base-path", broken], ["broken", "version 3"]),
            (["--model-base-path", damaged], ["damaged", "batching_params.pbtxt: has changed"]),
            (["--model-config-file", config], ["config", "model_config_lost"]),
            ([*captioner, "--batching-parameters-file", batching], ["batching", "max_batch_sise"]),
            ([*captioner, "--token-file", nowhere], ["nowhere"]),
            ([*captioner, "--token-file", file], ["file", "token"]),
            ([*captioner, *no_pair, "--port", 0], ["file"]),
            ([*captioner, "--port", port], [str(port), "--port"]),
            ([*captioner, "--port", 0, "--metrics-port", port], [str(port), "--metrics-port"]),
            ([*captioner, "--port", 0, "--metrics-host", "nowhere.invalid"], ["nowhere.invalid"]),
        ]
        for arguments, parts in mistakes:
            with pytest.raises(SystemExit) as end:
                main(list(map(str, arguments)))
            line = capsys.readouterr().err.splitlines()[-1]
            assert end.value.code == 2
            assert "error: " in line
            for part in parts:
                assert part in line
