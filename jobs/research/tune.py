"""Search better parameters for a method, and propose them; nothing changes by itself."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from jobs.config.methods import all_methods
from jobs.config.settings import Settings
from jobs.night.inputs import read_nights
from jobs.night.job_report import JobReport
from jobs.night.outcomes import keep
from jobs.night.recipes import policy, recipe
from jobs.night.resources import measured
from jobs.research.tracked_runs import tracked_run
from lakehouse.files import write_text
from lakehouse.lists import PERSONAL_LISTS
from models.core.parameters import Range, ranges
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Evaluation
from models.selection.recipe import Recipe
from models.selection.split import Split
from models.selection.tuning import (
    AS_NOW,
    Evaluations,
    Found,
    Parameters,
    Report,
    judge,
    relative,
    search,
    windows,
)
from models.tracking.names import metric_name
from models.tracking.registry import Registry
from models.tracking.versions import Provenance

logger = logging.getLogger(__name__)

STEP: Final = "tune"
RUNS: Final = "tuning"
COMMAND: Final = "topshelf tune"
WINDOWS: Final = 2
GAIN_PARTS: Final = {"": "mean", "_low": "low", "_high": "high"}


def tunable() -> dict[str, Mapping[str, Range]]:
    """The methods that say where to look for better parameters (``Range``), with these."""
    found = {name: ranges(method.Configuration) for name, method in all_methods().items()}
    return {name: of_method for name, of_method in found.items() if of_method}


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What was found for a method: both parameters' measures on the newest window."""

    method: str
    run_date: date
    first_day: date
    last_day: date
    found: Found
    now: Mapping[str, Evaluation]
    then: Mapping[str, Evaluation]
    seed: int

    def gain(self, list_name: str) -> Difference:
        """NDCG@10 with the proposed parameters less that with the present ones."""
        return paired_bootstrap(
            self.then[list_name].per_user[PRIMARY_METRIC],
            self.now[list_name].per_user[PRIMARY_METRIC],
            seed=self.seed,
        )

    def toml(self) -> str:
        """A fragment of the configuration, with what speaks for it in comments."""
        found = self.found
        lines = [
            f"# {COMMAND} --run-date {self.run_date} --method {self.method}",
            f"# {found.trials} trials, {found.pruned} of them given up early; seed {self.seed}.",
            f"# NDCG@10 on {self.first_day} to {self.last_day}, as configured and as proposed,",
            "# and the difference with its 95% interval (paired bootstrap):",
        ]
        for name in PERSONAL_LISTS:
            now, then = (side[name].metrics[PRIMARY_METRIC] for side in (self.now, self.then))
            gain = self.gain(name)
            lines.append(
                f"#   {name:<8} {now:.4f} {then:.4f} "
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
            )
        if found.value <= AS_NOW:
            lines.append(
                "# No trial did better over all windows: these are the present parameters."
            )
        lines += [
            "# They were chosen on these very days, so that less is to be expected of others.",
            "# Nothing uses this file: copy what you want to try; the gate decides.",
            "",
            f"[models.{self.method}]",
            *(f"{name} = {value}" for name, value in found.best.items()),
        ]
        return "\n".join(lines) + "\n"


def proposal_path(runs: Path, run_date: date) -> Path:
    """Where the proposal of a night lies below the folder ``runs``."""
    return runs / run_date.isoformat() / "proposal.toml"


def run(settings: Settings, *, run_date: date, method: str, trials: int) -> JobReport:
    """Make ``trials`` with other parameters of ``method`` and write a proposal.

    Only days before the night's test window are looked at. A search that was killed goes on where
    it stopped, as long as the configuration is the same. Raises ``DataError`` where the lake holds
    too little and ``InfrastructureError`` where MLflow fails.
    """
    with (
        measured() as cost,
        tracked_run(settings, RUNS, run_date, command=COMMAND) as run,
    ):
        registry, source, log = run.registry, run.source, run.log
        versions = source.table_versions
        log.tags({"method": method})
        nights = read_nights(settings, versions, run_date=run_date)
        splits = windows(nights, WINDOWS, policy(settings, run_date))
        present = recipe(method, settings)
        now = [judge(present, split) for split in splits]
        tried = _Trials(settings, registry, source, method, splits, now)
        found = _search(settings, source, tried, trials=trials)
        proposal = Proposal(
            method=method,
            run_date=run_date,
            first_day=splits[0].nights.validation.as_of,
            last_day=splits[0].nights.test.as_of - timedelta(days=1),
            found=found,
            now=now[0],
            then=judge(_with(settings, method, found.best), splits[0]),
            seed=source.seed,
        )
        text = proposal.toml()
        log.text("proposal.toml", text)
        log.parameters(proposal.found.best)
        log.metrics({"relative": proposal.found.value, "trials": proposal.found.trials})
        for name in PERSONAL_LISTS:
            gain = proposal.gain(name)
            log.metrics(
                {f"gain_{name}{part}": getattr(gain, of) for part, of in GAIN_PARTS.items()}
            )
        path = proposal_path(settings.paths.runs, run_date)
        write_text(path, text)
    report = JobReport(
        step=STEP,
        run_date=run_date,
        rows={"trials": proposal.found.trials, "pruned": proposal.found.pruned},
        facts={
            "method": method,
            "proposal": str(path),
            "parameters": dict(proposal.found.best),
            "gains": {name: dict(proposal.gain(name)._asdict()) for name in PERSONAL_LISTS},
        },
        seconds=round(cost.seconds, 2),
    )
    keep(report, lake=settings.paths.lake, runs=settings.paths.runs)
    return report


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Tries parameters on the windows, each in an MLflow run below the one that is open.

    ``now`` holds the measures of the present parameters by window.
    """

    settings: Settings
    registry: Registry
    source: Provenance
    method: str
    splits: Sequence[Split]
    now: Sequence[Evaluations]

    def __call__(self, number: int, parameters: Parameters, give_up: Report) -> float | None:
        tried = _with(self.settings, self.method, parameters)
        total = 0.0
        with self.registry.run(f"trial {number}", self.source, command=COMMAND, nested=True) as log:
            log.parameters(parameters)
            for step, (split, now) in enumerate(zip(self.splits, self.now, strict=True)):
                found = judge(tried, split)
                total += relative(found, now)
                value = total / (step + 1)
                ndcg = {name: found[name].metrics[PRIMARY_METRIC] for name in PERSONAL_LISTS}
                log.metrics(
                    {f"{name}/{metric_name(PRIMARY_METRIC)}": each for name, each in ndcg.items()}
                    | {"relative": value},
                    step=step,
                )
                if give_up(step, value) and step + 1 < len(self.splits):
                    log.tags({"pruned": "true"})
                    logger.info("trial %d: given up at %.4f", number, value)
                    return None
        logger.info("trial %d: %.4f of the present NDCG@10", number, value)
        return value


def _search(settings: Settings, source: Provenance, tried: _Trials, *, trials: int) -> Found:
    places, now = tunable()[tried.method], recipe(tried.method, settings).build().parameters
    return search(
        f"{source.run_date} {tried.method} {source.configuration[:8]}",
        settings.paths.runs / source.run_date.isoformat() / "tuning.journal",
        places,
        {name: now[name] for name in places},
        tried,
        trials=trials,
        seed=settings.train.seed,
    )


def _with(settings: Settings, method: str, parameters: Parameters) -> Recipe:
    present = recipe(method, settings)
    return replace(present, parameters={**present.parameters, **parameters})
