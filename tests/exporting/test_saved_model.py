"""The exported model, run where there is no keras_sat, answers as `keras_sat.caption` does."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_sat import config
from keras_sat.data import scenes
from keras_sat.encoder.inputs import PICTURES as PICTURES_OF
from keras_sat.encoder.inputs import picture_inputs
from keras_sat.evaluation import report
from keras_sat.evaluation.evaluation import Evaluation
from keras_sat.export import main
from keras_sat.exporting.saved_model import export
from keras_sat.exporting.verification import verify
from keras_sat.exporting.versions import Batching
from keras_sat.pictures.box_tensors import batch_in_crop, usable_boxes
from keras_sat.pictures.boxes import cropped, pad_boxes
from keras_sat.runs.captioning import caption_files
from keras_sat.runs.checkpoints import Checkpoints, Progress
from keras_sat.runs.ensemble import open_runs
from keras_sat.runs.loading import (
    build_model,
    captioner_inputs,
    load_captioner,
    load_vocabulary,
    picture_features,
)
from keras_sat.runs.run import create_run
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS
from serving.client.messages import model_spec, predict_request
from serving.server.integrity import check_files
from tests.support.commands import assert_one_line, call
from tests.support.odd_pictures import TAKEN
from tests.support.rounding import assert_close
from tests.support.server_process import running

STOCK = set((Path(__file__).parent / "stock_ops.txt").read_text().partition("\n\n")[2].split())
BROKEN = [b"", b"text", TAKEN["colour.jpg"][:-300]]
PICTURES = [
    *TAKEN.values(),
    *(scenes.draw(scenes.scene_id("val", index), seed=1).image for index in range(64)),
][:64]
MIXED = [BROKEN[n // 2 % 3] if n % 2 else picture for n, picture in enumerate(PICTURES)]
SIZES = {"embedding_size": 12, "state_size": 16}
# The CNN's convolutions are sums of some hundred terms, one after the other. Nine steps follow,
# each with sums over up to 128 channels.
ROUNDINGS = 1000
DECODING = config.Decoding(beam=2, max_length=9, length_penalty=0.5, no_repeat_ngram=2)
DECODINGS = {
    "show_and_tell": replace(DECODING, method="consensus", samples=4),
    "areas": replace(DECODING, mirror=True),
}
SYSTEMS = {
    "soft": config.Soft(**SIZES, attention_size=8),
    "hard": config.Hard(**SIZES, attention_size=8, decode="sample"),
    "show_and_tell": config.ShowAndTell(**SIZES),
    "areas": config.Areas(**SIZES),
    "transformer": config.Areas(**SIZES, areas="transformer", localisation_size=4),
    "proposals": config.Areas(**SIZES, areas="proposals", region_scale=0.1),
    "self_attention": config.Transformer(
        width=12, heads=2, encoder_layers=1, decoder_layers=2, hidden_size=16, positions=9
    ),
}

# Runs the models of a pickle ({folder: [(signature, inputs)]}) and pickles the answers.
ALONE = """
import pickle, sys

class Forbidden:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("keras_sat", "tensorflow_addons"):
            raise ImportError(name)

sys.meta_path.insert(0, Forbidden())
import tensorflow as tf
import tensorflow_text  # its ops, which TensorFlow Serving has built in
from tensorflow_serving.apis import prediction_log_pb2

answers = {}
for folder, requests in pickle.load(open(sys.argv[1], "rb")).items():
    signatures = tf.saved_model.load(folder).signatures
    for record in tf.data.TFRecordDataset(folder + "/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {}
        for name, value in request.inputs.items():
            inputs[name] = tf.constant(tf.make_ndarray(value))
        answer = signatures[request.model_spec.signature_name](**inputs)
        assert set(answer["status"].numpy()) == {b"OK"}
    answers[folder] = []
    for signature, inputs in requests:
        answer = signatures[signature](**inputs)
        answers[folder].append({name: value.numpy() for name, value in answer.items()})
pickle.dump(answers, open(sys.argv[2], "wb"))
"""


def untrained(settings, data, folder, decoding=DECODING, **others):
    """A run whose captioner has random weights, far enough from zero that its captions differ."""
    section = config.Data(path=str(data.folder), batching="images")
    values = config.Experiment(model=settings, data=section, decoding=decoding, **others)
    run = create_run(folder, values, data)
    model = build_model(run)
    random = np.random.default_rng(len(folder.name))
    cnn = {id(each) for each in model.cnn.weights} if model.cnn else ()
    for weight in model.weights:
        if id(weight) not in cnn:
            spread = min(0.4, 2 / np.sqrt(np.prod(weight.shape[:-1])))
            weight.assign_add(random.normal(0, spread, weight.shape))
    model.compile(tf.keras.optimizers.Adam(), seed=1)
    Checkpoints(run.folder / "checkpoints", model, Progress(run.facts.vocabulary)).save_best()
    return run


@pytest.fixture(scope="module")
def runs(data, boxes_data, tmp_path_factory):
    """{name: run} of every system, and of an ensemble.

    One member of the ensemble contains the CNN. Two of the runs also read flipped pictures.
    """
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, settings in SYSTEMS.items():
        decoding = DECODINGS.get(name, DECODING)
        found[name] = untrained(
            settings, boxes_data if name == "proposals" else data, folder / name, decoding
        )
    untrained(SYSTEMS["soft"], data, folder / "finetuned", finetune=config.FineTuning("stage_3"))
    return found | {"ensemble": open_runs([folder / "areas", folder / "finetuned"])}


def requests(run):
    """[(signature, inputs)] for 1, 7 and 64 pictures, alone and among broken ones."""
    boxes = {}
    if "boxes" in run.facts.inputs:
        sections = run.facts.encoder, run.facts.proposals
        found = np.stack(
            [picture_inputs(picture, ("boxes",), *sections)["boxes"] for picture in PICTURES]
        )
        boxes = {"boxes": found}
    for count in (1, 7, 64):
        for pictures in (PICTURES, MIXED):
            inputs = {
                "image_bytes": pictures[:count],
                **{name: each[:count] for name, each in boxes.items()},
            }
            yield "serving_default", inputs
            yield "caption_with_attention", inputs
            others = b"a caption of more words than those of the pictures that can be read"
            captions = [
                others if picture in BROKEN else b"a red circle , seldom seen"
                for picture in pictures[:count]
            ]
            yield "score_caption", {**inputs, "caption": captions}


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    """{name: (folder, [(signature, inputs, answer)])}."""
    output = tmp_path_factory.mktemp("models")
    batching = Batching(max_batch_size=6, max_enqueued_batches=16)
    folders = {name: export(run, output / name, batching, 1_000_000) for name, run in runs.items()}
    asked = {str(folder): list(requests(runs[name])) for name, folder in folders.items()}
    (output / "requests").write_bytes(pickle.dumps(asked))
    command = [sys.executable, "-W", "ignore", "-c", ALONE, output / "requests", output / "answers"]
    subprocess.run(command, check=True, cwd=output)
    answers = pickle.loads((output / "answers").read_bytes())
    found = {}
    for name, folder in folders.items():
        pairs = zip(asked[str(folder)], answers[str(folder)])
        found[name] = (folder, [(*request, answer) for request, answer in pairs])
    return found


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """The same over gRPC, from one server of all models.

    The largest requests exceed the server's largest batch.
    """
    file = tmp_path_factory.mktemp("served") / "models.config"
    models = [
        f'config {{ name: "{name}" base_path: "{folder.parent}" }}'
        for name, (folder, _) in exported.items()
    ]
    file.write_text(f"model_config_list {{ {' '.join(models)} }}")
    unbounded = [("grpc.max_receive_message_length", -1)]
    with (
        running("--model-config-file", file) as server,
        grpc.insecure_channel(server.address, unbounded) as channel,
    ):

        def answer(name, signature, inputs):
            response = PredictionServiceStub(channel).Predict(
                predict_request(model_spec(name), signature, inputs)
            )
            return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

        found = {}
        for name, (folder, asked) in exported.items():
            answered = []
            for signature, inputs, _ in asked:
                answered.append((signature, inputs, answer(name, signature, inputs)))
            found[name] = (folder, answered)
        return found


@pytest.mark.parametrize("way", ["exported", "served"])
@pytest.mark.parametrize("name", [*SYSTEMS, "ensemble"])
def test_the_model_answers_as_captioning_in_process_does(name, way, runs, request, tmp_path):
    paths = []
    for number, picture in enumerate(PICTURES):
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(picture)
    captioned, _ = caption_files(runs[name], paths)
    expected = [each for _, _, each, _ in captioned]
    assert len({each.caption for each in expected}) > 3, "the pictures should differ in caption"
    for signature, inputs, answer in request.getfixturevalue(way)[name][1]:
        for n, status in enumerate(answer["status"]):
            if inputs["image_bytes"][n] in BROKEN:
                assert status != b"OK" and b"\n" not in status
                assert all(
                    set(np.ravel(value[n])) <= {b"", 0}
                    for key, value in answer.items()
                    if key != "status"
                )
                continue
            assert status == b"OK"
            if signature == "serving_default":
                assert answer["caption"][n].decode() == expected[n].caption
                assert_close(answer["score"][n], expected[n].score, ROUNDINGS)
            if signature == "caption_with_attention":
                words = [word.decode() for word in answer["words"][n] if word]
                assert answer["captions"][n, 0].decode() == expected[n].caption == " ".join(words)
                assert_close(answer["scores"][n, 0], expected[n].score, ROUNDINGS)
                assert_close(answer["attention"][n, : len(words)], expected[n].attention, ROUNDINGS)
                assert_close(answer["boxes"][n], expected[n].boxes, roundings=8)
                assert (
                    answer["captions"].shape[1:] == answer["scores"].shape[1:] == (DECODING.beam,)
                )
                assert answer["attention"].shape[1:] == (
                    DECODING.max_length,
                    len(expected[n].boxes),
                )


@pytest.mark.parametrize("name", [*SYSTEMS, "ensemble"])
def test_no_answer_depends_on_the_batch(name, exported):
    """They are equal bit for bit where the batches have the same size."""
    found = {}
    for signature, inputs, answer in exported[name][1]:
        size = len(inputs["image_bytes"])
        for n, picture in enumerate(inputs["image_bytes"]):
            if picture in BROKEN:
                continue
            for key, value in answer.items():
                same = found.setdefault((signature, key, size, n), value[n])
                assert np.array_equal(same, value[n]), (signature, key, size, n)
                if n == 0 and value.dtype == object:
                    assert np.array_equal(found[signature, key, 1, 0], same)
                elif n == 0:
                    assert_close(found[signature, key, 1, 0], same, ROUNDINGS, what=key)


@pytest.mark.parametrize("name", [*SYSTEMS, "ensemble"])
def test_the_server_computes_what_the_model_does(name, exported, served):
    """They are equal bit for bit where both compute a picture alone."""
    for (signature, inputs, answer), (_, _, other) in zip(
        exported[name][1], served[name][1], strict=True
    ):
        if len(inputs["image_bytes"]) == 1:
            assert all(np.array_equal(answer[key], other[key]) for key in answer), signature


@pytest.mark.parametrize("name", [*SYSTEMS, "ensemble"])
def test_a_given_caption_is_scored_as_teacher_forcing_does(name, runs, exported):
    run = runs[name]
    model = load_captioner(run)
    vocabulary = load_vocabulary(run)
    asked = {
        (signature, len(answer["status"])): (inputs, answer)
        for signature, inputs, answer in exported[name][1][::-1]
    }
    inputs, answer = asked["score_caption", 7]
    words = [word.decode() for word in answer["words"][0] if word]
    assert words == ["a", "red", "circle", "<unk>", "<unk>", "<end>"]
    names = [PICTURES_OF.get(each, each) for each in captioner_inputs(run)]
    sections = run.facts.encoder, run.facts.proposals
    pictures = [picture_inputs(picture, names, *sections) for picture in PICTURES[:7]]
    ids = vocabulary.encode(tf.constant(inputs["caption"]), DECODING.max_length).to_tensor()
    features = picture_features(run)(
        {key: np.stack([each[key] for each in pictures]) for key in pictures[0]}
    )
    log_probs, attention = model({**features, "captions": ids[:, None]})
    expected = tf.gather(log_probs[:, 0], ids, batch_dims=2)
    assert_close(answer["word_log_probs"][:, : ids.shape[1]], expected, ROUNDINGS)
    assert_close(answer["attention"][:, : ids.shape[1]], attention[:, 0], ROUNDINGS)
    assert not np.any(answer["word_log_probs"][:, ids.shape[1] :]) and not np.any(
        answer["attention"][:, ids.shape[1] :]
    )


@pytest.mark.parametrize("name", [*SYSTEMS, "ensemble"])
def test_stock_tensorflow_serving_has_its_ops(name, exported):
    saved = saved_model_pb2.SavedModel.FromString(
        (exported[name][0] / "saved_model.pb").read_bytes()
    )
    (graph,) = (each.graph_def for each in saved.meta_graphs)
    used = {
        node.op
        for nodes in (graph.node, *(each.node_def for each in graph.library.function))
        for node in nodes
    }
    assert used - STOCK - {each.signature.name for each in graph.library.function} == set()
    assert {"CaseFoldUTF8", "IgnoreErrorsDataset"} <= used and not {"PyFunc", "EagerPyFunc"} & STOCK


def test_the_model_card_describes_the_model(runs, exported):
    folder, _ = exported["ensemble"]
    card = json.loads((folder / "model_card.json").read_text())
    assert (
        Vocabulary.load(folder / "assets" / "vocabulary.txt").fingerprint
        == card["vocabulary"]["fingerprint"]
    )
    assert (
        card["decoding"] == config.as_dict(DECODINGS["areas"])
        and card["encoder"] == runs["soft"].facts.encoder
    )
    assert [each["run"] for each in card["runs"]] == ["areas", "finetuned"] and card[
        "max_pixels"
    ] == 1_000_000
    assert (folder / "batching_params.pbtxt").read_text().splitlines() == [
        "max_batch_size { value: 6 }",
        "batch_timeout_micros { value: 5000 }",
        "max_enqueued_batches { value: 16 }",
        *(f"allowed_batch_sizes: {size}" for size in (1, 2, 4, 6)),
    ]
    assert "Not evaluated" in (folder / "model_card.md").read_text()


def test_a_changed_file_of_an_export_is_found(exported, tmp_path):
    folder, _ = exported["soft"]
    assert verify(folder) == ("exported version", [])
    copy = shutil.copytree(folder, tmp_path / "model" / "1")
    for name in ("variables/variables.data-00000-of-00001", "model_card.json"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-2] + b"~~")
        [fault] = verify(copy.parent)[1]
        assert name in fault
        with pytest.raises(ValueError, match=name):
            check_files(copy)
        (copy / name).write_bytes(content)
    check_files(copy)
    (copy / "assets" / "other.txt").write_text("")
    assert verify(copy)[1] == [f"{copy}/assets/other.txt: was not exported; delete it"]
    (copy / SUMS).unlink()
    assert "export it again" in verify(copy)[1][0]


def test_each_export_is_a_version_and_a_killed_one_is_none(runs, tmp_path, capsys):
    folder = runs["soft"].folder
    output = tmp_path / "models" / "soft"
    facts = Evaluation({}, {}, {}, {"cider": 0.5}, {})
    report.write(folder / "evaluation", "test", "soft", facts)
    arguments = ("--run", folder, "--output", output, "--beam", 1, "--max-batch-size", 1)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "keras_sat.export", *map(str, arguments)]
    )
    while not output.exists() or not any(output.iterdir()):  # the temporary folder
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not [each for each in output.iterdir() if each.name.isdigit()]
    (output / "7").mkdir()
    main([str(each) for each in arguments])
    assert capsys.readouterr().out.split() == [str(output / "8")]
    card = json.loads((output / "8" / "model_card.json").read_text())
    assert (
        card["decoding"]["beam"] == 1
        and card["scores"] == {"test": {"cider": 0.5}}
        and card["version"] == 8
    )
    assert "| CIDEr-D | 50.0 |" in (output / "8" / "model_card.md").read_text()


def test_mistakes_are_named(runs, data, tmp_path):
    output = ("--output", tmp_path / "models")
    assert_one_line(
        call("keras_sat.export", "--run", tmp_path, *output), f"{tmp_path}: no run there"
    )
    assert_one_line(
        call("keras_sat.export", "--run", runs["soft"].folder, *output, "--max-batch-size", 0),
        "--max-batch-size: 0",
        "out of range",
    )
    untrained = create_run(tmp_path / "run", replace(runs["soft"].experiment, seed=2), data)
    with pytest.raises(UserError, match="no best checkpoint yet"):
        export(untrained, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_boxes_are_cropped_and_padded_as_in_preparation():
    given = np.float32([[0.4, 0.4, 0.6, 0.6], [0, 0, 0.05, 1], [0.2, 0.1, 0.9, 1.0], [0, 0, 0, 0]])
    shapes = [(300, 200), (100, 640)]
    found = usable_boxes(batch_in_crop(tf.constant([given] * 2), tf.constant(shapes))).numpy()
    for boxes, shape in zip(found, shapes):
        expected, _ = cropped(given, np.float32([4, 3, 2, 1]), *shape)
        assert_close(boxes, pad_boxes(expected, 4), roundings=8)
    garbage = tf.constant(
        [[[0.5, 0.5, 0.5, 0.9], [np.nan, 0, 1, 1]], [[-1, 0, 2, 1], [0, 0, 0, 0]]]
    )
    np.testing.assert_array_equal(usable_boxes(garbage), [[[0, 0, 1, 1], [0, 0, 0, 0]]] * 2)
