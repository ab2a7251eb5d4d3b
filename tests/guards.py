"""python -m tests.guards

Takes each guard out of a copy of the code and shows that its test then fails. Exit code 1: a test
passes without its guard. `--table` prints the table of docs/reliability.md instead.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_LONGEST = 300  # seconds that a test may take


class Guard(NamedTuple):
    """Something that keeps a fault from doing harm.

    Attributes:
        fault: what goes wrong.
        detection: how it is noticed.
        outcome: what happens then.
        test: the test that fails without the guard, as pytest takes it, from tests/ on.
        file: the file that holds the guard.
        text: the guard; the file has it once.
        without: what replaces it without the guard.
    """

    fault: str
    detection: str
    outcome: str
    test: str
    file: str
    text: str
    without: str = ""


CHECKPOINTS = "keras_sat/runs/checkpoints.py"
TRAINER = "keras_sat/training/trainer.py"
CLAIM = "keras_sat/utils/claim.py"
STEP = "keras_sat/models/step.py"
PREPARE = "pipeline/preparation/prepare.py"

GUARDS = [
    Guard(
        "the last checkpoint is damaged",
        "every value is read and compared with its checksum before it is restored",
        "training resumes from the one before and says what was lost",
        "runs/test_checkpoints.py::test_a_damaged_last_checkpoint_falls_back_to_the_one_before",
        CHECKPOINTS,
        "            fault = fault_in(path)\n            if fault is None:",
        "            fault = None\n            if fault is None:",
    ),
    Guard(
        "a checkpoint is written wrongly",
        "it is read back before an older one is deleted",
        "exit code 2, the one before is kept",
        "runs/test_checkpoints.py::test_what_does_not_read_back_is_refused_and_the_one_before_stays",
        CHECKPOINTS,
        "        fault = fault_in(path)\n        if fault:\n            checkpoint_files",
        "        fault = None\n        if fault:\n            checkpoint_files",
    ),
    Guard(
        "the only checkpoint is damaged",
        "the last two are kept",
        "training resumes from the other one",
        "runs/test_checkpoints.py::test_the_last_two_are_kept_and_numbers_are_never_reused",
        CHECKPOINTS,
        "count=2",
        "count=1",
    ),
    Guard(
        "killed while a checkpoint replaces one of the same number",
        "a number that is taken is not used again",
        "there is nothing to replace",
        "runs/test_checkpoints.py::test_the_last_two_are_kept_and_numbers_are_never_reused",
        CHECKPOINTS,
        "number = max(updates, 1 + checkpoint_files.number_of(before[0]))",
        "number = updates",
    ),
    Guard(
        "a trained run's last checkpoints are gone",
        "metrics or a best checkpoint are there",
        "exit code 2; training never starts anew",
        "training/test_resuming.py::test_training_never_starts_anew_in_a_trained_folder",
        CHECKPOINTS,
        "        _check_untrained(folder, damaged)\n",
    ),
    Guard(
        "killed while the first best checkpoint is written",
        "the first epoch is saved before it is validated",
        "training resumes from there",
        "training/test_resuming.py::test_a_run_killed_at_its_first_best_checkpoint_resumes",
        TRAINER,
        "if not self.checkpoints.any:",
        "if False:",
    ),
    Guard(
        "the best checkpoint is damaged",
        "it is read to its last value when training resumes",
        "it is told, and the next epoch's becomes the best",
        "training/test_resuming.py::test_training_falls_back_and_says_what_is_lost",
        CHECKPOINTS,
        "        return Damaged(path, fault) if fault else None",
        "        return None",
    ),
    Guard(
        "the best checkpoint of a finished run is damaged",
        "as above",
        "exit code 2 and what to do",
        "training/test_resuming.py::test_a_finished_run_whose_best_is_damaged_is_no_success",
        TRAINER,
        "            if self._finished():\n                raise UserError(",
        "            if False:\n                raise UserError(",
    ),
    Guard(
        "a damaged checkpoint is evaluated, exported or learned from",
        "it is read to its last value",
        "exit code 2 with the file and the fault",
        "runs/test_checkpoints.py::test_a_damaged_best_checkpoint_is_told",
        CHECKPOINTS,
        "    check_sound(path)\n    progress",
        "    progress",
    ),
    Guard(
        "metrics.jsonl is ahead of the checkpoint",
        "its lines are counted",
        "it is cut to what the checkpoint knows",
        "training/test_resuming.py::test_metrics_are_cut_to_what_the_checkpoint_knows",
        "keras_sat/training/resuming.py",
        "kept = lines[:epochs]",
        "kept = lines",
    ),
    Guard(
        "an update makes a weight infinite",
        "the weights' norm, in the compiled step",
        "exit code 2 with the batch and its images; nothing of it is saved",
        "training/test_divergence.py::test_an_infinite_update_is_noticed_though_the_loss_was_finite",
        STEP,
        "tf.math.is_finite(squares) & ",
    ),
    Guard(
        "a loss is not finite and loss scaling skips its update",
        "the loss, in the compiled step",
        "as above",
        "training/test_divergence.py::"
        "test_a_loss_that_is_not_finite_is_noticed_though_the_update_was_skipped",
        STEP,
        ' & tf.math.is_finite(self.meters["loss"].total)',
    ),
    Guard(
        "training diverges",
        "the step's count of such updates, every ten batches and before each checkpoint",
        "as above",
        "training/test_divergence.py::test_divergence_names_the_batch_and_resumes_with_a_lower_rate",
        TRAINER,
        "        if not updates:\n            return",
        "        return",
    ),
    Guard(
        "a weight that is not finite is to be saved",
        "each checkpoint is read back and must be finite",
        "exit code 2, the one before is kept",
        "runs/test_checkpoints.py::test_weights_that_are_not_finite_are_not_kept",
        "keras_sat/runs/soundness.py",
        "if dtype.is_floating and not np.all(np.isfinite(value)):",
        "if False:",
    ),
    Guard(
        "the learning rate is lowered to resume",
        "the checkpoint's settings",
        "it is applied once, and the run records it",
        "training/test_divergence.py::test_a_changed_rate_counts_under_every_schedule",
        "keras_sat/training/resuming.py",
        "    if changed:\n",
        "    if False:\n",
    ),
    Guard(
        "a record holds NaN",
        "where it is parsed",
        "exit code 2 with file, record and image; the rate is not blamed",
        "training/test_divergence.py::test_a_record_that_is_not_finite_is_named_and_not_the_rate",
        "keras_sat/data/examples.py",
        'tf.debugging.check_numerics(values, "the record")',
        "values",
    ),
    Guard(
        "the validation loss is not finite",
        "the score that selects",
        "no gain, and the images are named",
        "training/test_divergence.py::test_a_validation_that_is_not_finite_is_no_gain",
        TRAINER,
        "if lower or not math.isfinite(score):",
        "if lower:",
    ),
    Guard(
        "two trainings of a run",
        "a claim",
        "the second one: exit code 2 with host, process and since when",
        "training/test_resuming.py::test_two_trainings_of_a_run_and_two_reproductions",
        "keras_sat/training/train.py",
        'claims.enter_context(claimed(folder, "training"))',
        "pass",
    ),
    Guard(
        "two reproductions into a folder",
        "a claim",
        "as above",
        "training/test_resuming.py::test_two_trainings_of_a_run_and_two_reproductions",
        "keras_sat/cli/experiments.py",
        'with claimed(results, "reproduction"):',
        "if True:",
    ),
    Guard(
        "two exports into a folder",
        "a claim",
        "as above",
        "cli/test_environments.py::test_a_folder_in_which_another_process_works",
        "keras_sat/exporting/saved_model.py",
        'with claimed(output, "export"):',
        "if True:",
    ),
    Guard(
        "two preparations of a data set",
        "a claim",
        "as above",
        "pipeline/test_prepare.py::test_two_processes_do_not_make_the_same_data_set",
        PREPARE,
        'with claimed(output, "preparation"):',
        "if True:",
    ),
    Guard(
        "a data set is prepared anew while a training reads it",
        "the training's claim",
        "the preparation: exit code 2",
        "pipeline/test_prepare.py::test_what_a_training_reads_is_not_prepared_anew",
        PREPARE,
        "check_unread(output)",
        "pass",
    ),
    Guard(
        "a claim of another host, whose lock does not reach here",
        "the claim's file",
        "exit code 2",
        "utils/test_claim.py::test_another_hosts_claim_holds_on_a_shared_file_system_only",
        CLAIM,
        "locked is False or (not is_new and _may_be_held(path, holder, locked))",
        "locked is False",
    ),
    Guard(
        "a claim is released while another process opens its file",
        "the file is looked for again under the lock",
        "one of them holds it",
        "utils/test_claim.py::test_of_many_processes_one_at_a_time_holds_a_claim",
        CLAIM,
        "if _is_still_there(path, file):",
        "if True:",
    ),
    Guard(
        "a folder cannot be written",
        "its claim",
        "exit code 2 with the folder",
        "cli/test_environments.py::test_a_folder_that_cannot_be_written",
        CLAIM,
        "except OSError as error:\n            raise UserError(",
        "except ZeroDivisionError as error:\n            raise UserError(",
    ),
    Guard(
        "a file cannot be written",
        "the system's error",
        "exit code 2 with the file",
        "cli/test_environments.py::test_a_file_that_cannot_be_written_is_named",
        "keras_sat/utils/errors.py",
        "        if where:\n",
        "        if False:\n",
    ),
    Guard(
        "out of memory in a step",
        "TensorFlow's error",
        "exit code 2; train.accumulate or data.batch_size, and the run resumes with the first",
        "cli/test_environments.py::test_out_of_memory_while_training",
        TRAINER,
        "memory_advice(advice), ",
    ),
    Guard(
        "out of memory in preparation",
        "the error of TensorFlow or of a worker",
        "exit code 2; fewer workers or chunk_images",
        "cli/test_environments.py::test_out_of_memory_while_preparing",
        PREPARE,
        "with memory_advice(_memory_advice(config)):",
        "if True:",
    ),
    Guard(
        "a worker process of a preparation is killed",
        "the thread that started it",
        "exit code 2; fewer workers or chunk_images. Beam would wait for ever",
        "pipeline/test_beam_runner.py::test_a_worker_that_is_killed_ends_the_job",
        "pipeline/preparation/beam_runner.py",
        "            signal.pthread_kill(",
        "            print(",
    ),
]


def table():
    """The guards as Markdown."""
    lines = ["| fault | detection | outcome | test |", "|---|---|---|---|"]
    for guard in GUARDS:
        file, _, name = guard.test.partition("::")
        cells = [guard.fault, guard.detection, guard.outcome, f"`{file}`: `{name}`"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def copy_of_the_code(folder):
    """Copies all files that Git knows or would add."""
    listed = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, text=True).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def fails_without(guard, folder):
    """Whether a guard's test fails once the guard is taken out of a copy of the code.

    Args:
        guard: the `Guard`.
        folder: the copy, which is left as it was.
    """
    path = folder / guard.file
    code = path.read_text(encoding="utf-8")
    path.write_text(code.replace(guard.text, guard.without), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-x", "-q", f"tests/{guard.test}"]
    try:
        finished = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST
        )
    except subprocess.TimeoutExpired:
        return True  # what was to end waits for ever
    finally:
        path.write_text(code, encoding="utf-8")
    if finished.returncode not in (0, 1):  # 1: tests failed; others: they did not run
        raise RuntimeError(finished.stdout[-2000:] + finished.stderr[-2000:])
    return finished.returncode == 1


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.guards", description=__doc__)
    parser.add_argument("--table", action="store_true", help="print the table of the guards")
    parser.add_argument("--only", default="", help="guards whose fault contains this")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    passed = 0
    with tempfile.TemporaryDirectory() as temporary:
        copy_of_the_code(Path(temporary))
        for guard in GUARDS:
            if args.only in guard.fault:
                begun = time.monotonic()
                failed = fails_without(guard, Path(temporary))
                passed += not failed
                verdict = "its test fails without the guard" if failed else "ITS TEST PASSES"
                seconds = time.monotonic() - begun
                print(f"{guard.fault}: {verdict} ({seconds:.0f} s)", flush=True)
    sys.exit(passed > 0)


if __name__ == "__main__":
    main()
