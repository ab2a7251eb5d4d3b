"""The server as a process: its end, its absence, its locks, and its mistakes."""

import concurrent.futures
import datetime
import ipaddress
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

import serving
from serving.client.client import CaptionClient
from serving.client.messages import PredictionServiceStub, model_spec, predict_request, rows
from serving.server.__main__ import main
from tests.serving.conftest import running
from tests.serving.saved_model import picture


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """(certificate of localhost, its key, a file with a token)."""
    folder = tmp_path_factory.mktemp("secrets")
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
    )
    certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    paths = [folder / each for each in ("certificate.pem", "key.pem", "token")]
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    paths[2].write_text("open sesame\n")
    return paths


def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


def test_tls_and_token(models, secrets):
    certificate, key, token = secrets
    options = ["--certificate", certificate, "--key", key, "--token-file", token]
    with running("--model-base-path", models / "captioner", *options) as server:
        trust = {"root_certificates": certificate.read_bytes(), "deadline": 20}
        with CaptionClient(server.address, token="open sesame", **trust) as client:
            assert [answer.status for answer in client.caption([picture(1)])] == ["OK"]
        for wrong in (None, "open sesam"):
            with CaptionClient(server.address, token=wrong, **trust) as client, pytest.raises(grpc.RpcError) as error:
                client.caption([picture(1)])
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with CaptionClient(server.address, token="open sesame", deadline=1) as plain, pytest.raises(grpc.RpcError) as error:
            plain.caption([picture(1)])
        assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(trust["root_certificates"])) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING, "asked by orchestrators, without a token"


def test_kill_and_restart_give_no_wrong_answer_and_sigterm_drains(models, direct):
    images = [picture(seed) for seed in range(5)]
    expected = [caption.decode() for caption in direct("serving_default", image_bytes=images)["caption"]]
    arguments, port = ["--model-config-file", models.with_suffix(".config")], free_port()
    stopped, answered = threading.Event(), [0] * 4

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
    """Requests that have arrived are answered, those that wait in the queue too, and the process ends well."""
    request = predict_request(model_spec("slow"), "serving_default", {"image_bytes": [picture(1)]})
    with grpc.insecure_channel(server.address) as channel:
        calls = [PredictionServiceStub(channel).Predict.future(request) for _ in range(4)]
        server.wait_for("serving_requests_in_flight", len(calls))
        assert not any(call.done() for call in calls)
        assert server.stop() == 0
        assert [len(rows(call.result())) for call in calls] == [1] * len(calls)


@pytest.mark.parametrize("module", ["serving.server", "serving.client", "serving.load_test"])
def test_help_imports_no_tensorflow(module):
    probe = f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_module({module!r}, run_name='__main__')\n"
    probe += "finally: assert not {'tensorflow', 'keras_sat'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.startswith(f"usage: python -m {module}"), result.stderr


def test_the_package_stands_alone():
    """The SavedModel holds everything; only pictures of the attention are drawn with keras_sat."""
    folder = Path(serving.__file__).parent
    imports = {path.name for path in folder.glob("*.py") if re.search(r"^ *(from|import) keras_sat", path.read_text(), re.M)}
    assert imports == {"client_command.py"}


def test_mistakes_are_one_line(models, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "3").mkdir(parents=True)
    (tmp_path / "broken" / "3" / "saved_model.pb").write_bytes(b"no graph")
    (tmp_path / "file").write_text("")
    (tmp_path / "batching").write_text("max_batch_sise { value: 3 }")
    (tmp_path / "config").write_text("model_config_lost {}")
    captioner = ["--model-base-path", models / "captioner", "--metrics-port", 0]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, parts in [
            ([], ["--model-base-path"]),
            ([*captioner, "--host", "0.0.0.0"], ["--certificate", "--insecure"]),
            ([*captioner, "--key", "key.pem"], ["--certificate"]),
            (["--model-base-path", tmp_path / "nowhere"], ["nowhere", "keras_sat.export"]),
            (["--model-base-path", tmp_path / "empty"], ["empty", "number"]),
            (["--model-base-path", tmp_path / "broken"], ["broken", "version 3"]),
            (["--model-config-file", tmp_path / "config"], ["config", "model_config_lost"]),
            ([*captioner, "--batching-parameters-file", tmp_path / "batching"], ["batching", "max_batch_sise"]),
            ([*captioner, "--token-file", tmp_path / "nowhere"], ["nowhere"]),
            ([*captioner, "--token-file", tmp_path / "file"], ["file", "token"]),
            ([*captioner, "--certificate", tmp_path / "file", "--key", tmp_path / "file", "--port", 0], ["file"]),
            ([*captioner, "--port", port], [str(port), "--port"]),
            ([*captioner, "--port", 0, "--metrics-port", port], [str(port), "--metrics-port"]),
        ]:
            with pytest.raises(SystemExit) as end:
                main(list(map(str, arguments)))
            line = capsys.readouterr().err.splitlines()[-1]
            assert end.value.code == 2 and "error: " in line, line
            for part in parts:
                assert part in line, line
