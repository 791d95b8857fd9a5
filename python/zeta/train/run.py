"""One training run, from a parsed command line to its last checkpoint."""

import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import deepspeed

from zeta.train.arguments import Options
from zeta.train.checkpoint import Checkpoints
from zeta.train.config import check_config, complete_config, refusal
from zeta.train.config_file import read_config
from zeta.train.errors import TrainError
from zeta.train.evaluate import Evaluator
from zeta.train.feed import Feed
from zeta.train.loop import Loop
from zeta.train.manifest import RunManifest, check_resumable
from zeta.train.model import build_model
from zeta.train.model_config import model_config
from zeta.train.output import open_run_folder
from zeta.train.plan import Plan, make_plan
from zeta.train.precision import choose_dtype
from zeta.train.progress import Progress
from zeta.train.ranks import Ranks, join_ranks, leave_ranks
from zeta.train.recorder import Recorder
from zeta.train.sources import open_shards
from zeta.train.state import Counters, pack_state, unpack_state
from zeta.train.weights import count_parameters, parameter_groups

_REASONS = {signal.SIGHUP: "the end of the deepspeed command or of the terminal"}


def run(options: Options) -> signal.Signals | None:
    """Trains as `options` say. Every rank of the job calls this; returns what stopped it early, if anything.

    Raises:
        TrainError: a mistake of the caller's, the same on every rank.
    """
    config = read_config(options.config)
    ranks = join_ranks()
    try:
        stop = _Run(options, config, ranks).train()
    except TrainError:
        leave_ranks()
        raise
    leave_ranks()
    return stop


class _Run:
    """The parts of a run; made in the order in which mistakes are cheap to find."""

    def __init__(self, options: Options, config: dict[str, Any], ranks: Ranks) -> None:
        self._options, self._ranks = options, ranks
        self._dtype = choose_dtype(options.params.dtype, config)
        self._config = complete_config(config, self._dtype, options.lr)
        with ranks.together():
            micro_batch = check_config(self._config, options.config)
            # Mistakes that show without the data, before minutes go into making it.
            model_config(options.model, options.params, vocab_size=0, eos_token_id=None)
        self._shards = open_shards(options.data, ranks)
        with ranks.together():
            self._llama = model_config(
                options.model,
                options.params,
                self._shards.vocab_size,
                self._shards.manifest.tokenizer.eos_token_id,
            )
            seq_len = options.params.seq_len or self._llama.max_position_embeddings
            self._feed = Feed(self._shards, "train", seq_len, micro_batch, ranks, options.seed)
            self._evaluator = Evaluator(self._shards, seq_len, micro_batch, options.eval_tokens, ranks)
        with ranks.together():
            self._folder = open_run_folder(options.output, options.resume) if ranks.is_main else None
        self._output: Path = ranks.share(self._folder and self._folder.path)
        self._checkpoints = Checkpoints(self._output / "checkpoints", ranks, options.keep)
        self._counters = Counters()

    def train(self) -> signal.Signals | None:
        resumed = self._find_checkpoint()
        self._engine = self._build_engine()
        if resumed is not None:
            state = self._checkpoints.load(self._engine, resumed)
            self._counters, position = unpack_state(state)
            with self._ranks.together():
                self._feed.seek(position)
        steps_per_epoch = self._feed.blocks_per_epoch / self._engine.train_batch_size()
        plan = make_plan(self._options, self._config, steps_per_epoch)
        with self._ranks.together():
            recorder = self._open_recorder(plan) if self._ranks.is_main else None
        loop = Loop(
            self._engine, self._feed, self._evaluator, plan, self._counters, self._ranks, recorder, self._save
        )
        status = "FAILED"
        try:
            stop = loop.run()
            status = "KILLED" if stop else "FINISHED"
        except TrainError as error:
            raise TrainError(f"{error}; {self._checkpoints.last_good()}") from error
        finally:
            if recorder is not None:
                recorder.close(status)
        if self._ranks.is_main:
            self._say(
                f"stopped by {_REASONS.get(stop, stop.name)}; go on with --resume" if stop else "finished"
            )
        return stop

    def _find_checkpoint(self) -> Path | None:
        """The checkpoint that `--resume` goes on from; None to begin anew."""
        with self._ranks.together():
            latest = self._checkpoints.latest() if self._options.resume else None
            if latest is not None:
                universal = bool(self._config.get("checkpoint", {}).get("load_universal"))
                check_resumable(latest, self._manifest(), self._llama, universal)
        return latest

    def _build_engine(self) -> deepspeed.DeepSpeedEngine:
        options = self._options
        model = build_model(self._llama, options.params, self._dtype, self._config, options.seed, self._ranks)
        self._num_parameters = count_parameters(model)
        decay = self._config["optimizer"]["params"].get("weight_decay", 0.0)
        try:
            engine, *_ = deepspeed.initialize(
                model=model,
                model_parameters=parameter_groups(model, decay),
                config=self._config,
                dist_init_required=False,
            )
        except (AssertionError, ValueError) as error:  # what no check before it has found
            raise TrainError(f"--config {options.config}: {refusal(error)}") from error
        return engine

    def _open_recorder(self, plan: Plan) -> Recorder:
        facts = {
            "parameters": self._num_parameters,
            "precision": self._options.params.bitlinear_precision,
            "flash_attention": self._options.params.use_flash_attn,
            "dtype": self._dtype,
            "ranks": self._ranks.world_size,
            "tokens_per_step": self._engine.train_batch_size() * self._feed.seq_len,
            "train_tokens": self._shards.manifest.tokens["train"],
            "from_step": self._counters.step,
        }
        progress = Progress(plan.limits)
        progress.note("train: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
        return Recorder(self._output, self._counters.logged, facts, progress)

    def _save(self) -> None:
        state = pack_state(self._counters, self._feed.position)
        self._checkpoints.save(self._engine, self._counters.step, state, self._describe)

    def _describe(self, folder: Path) -> None:
        """Adds what an exporter or a server needs beside DeepSpeed's files."""
        self._llama.save_pretrained(folder)
        shutil.copytree(self._shards.tokenizer_path, folder / "tokenizer")
        self._manifest().write(folder)

    def _manifest(self) -> RunManifest:
        params = self._options.params
        return RunManifest(
            params.bitlinear_precision,
            params.group_size,
            params.use_flash_attn,
            self._dtype,
            self._options.seed,
            self._feed.seq_len,
            self._ranks.world_size,
            self._shards.manifest.fingerprint,
            self._counters.step,
            self._counters.tokens,
        )

    def _say(self, text: str) -> None:
        counters = self._counters
        print(
            f"train: {text} at step {counters.step} after {counters.tokens:,} tokens; {self._output}",
            file=sys.stderr,
        )
